// Opening cuDNN, and its errors.
#include "tensor/cuda/cudnn_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

static const char library_name[] = "libcudnn.so.9";

static status load(struct cudnn_library *l)
{
    const struct {
        const char *name;
        void *slot;
    } entries[] = {
        {"cudnnGetVersion", &l->get_version},
        {"cudnnGetErrorString", &l->get_error_string},
        {"cudnnGetLastErrorString", &l->get_last_error_string},
        {"cudnnCreate", &l->create},
        {"cudnnDestroy", &l->destroy},
        {"cudnnSetStream", &l->set_stream},
        {"cudnnBackendCreateDescriptor", &l->create_descriptor},
        {"cudnnBackendDestroyDescriptor", &l->destroy_descriptor},
        {"cudnnBackendFinalize", &l->finalize},
        {"cudnnBackendSetAttribute", &l->set_attribute},
        {"cudnnBackendGetAttribute", &l->get_attribute},
        {"cudnnBackendExecute", &l->execute},
    };
    l->handle = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    REQUIRE(l->handle != NULL, E_UNSUPPORTED, "%s cannot be opened: %s", library_name, dlerror());
    for (size_t i = 0; i < COUNT(entries); i++) {
        void *found = dlsym(l->handle, entries[i].name);
        REQUIRE(found != NULL, E_UNSUPPORTED, "%s has no %s", library_name, entries[i].name);
        memcpy(entries[i].slot, &found, sizeof found);
    }
    size_t version = l->get_version();
    REQUIRE(version / 10000 == 9, E_UNSUPPORTED, "%s is version %zu, want 9.x", library_name,
            version);
    return OK;
}

status cudnn_library_open(struct cudnn_library **out)
{
    struct cudnn_library *l = NULL;
    TRY(mem_zalloc(&l, 1));
    status st = load(l);
    if (st != OK) {
        cudnn_library_close(l);
        return st;
    }
    *out = l;
    return OK;
}

void cudnn_library_close(struct cudnn_library *l)
{
    if (l == NULL) return;
    if (l->handle != NULL) (void)dlclose(l->handle);
    mem_free(l);
}

void cudnn_library_version(const struct cudnn_library *l, char *text, size_t bytes)
{
    size_t v = l->get_version();
    (void)snprintf(text, bytes, "%zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
}

status cudnn_library_check(const struct cudnn_library *l, cudnnStatus_t code, const char *file,
                           int line, const char *what)
{
    if (code == CUDNN_STATUS_SUCCESS) return OK;
    char text[512] = "";
    l->get_last_error_string(text, sizeof text); // the thread's own; reading clears it
    error_set(file, line, "cuDNN: %s: %s (code %d) %s", what, l->get_error_string(code), (int)code,
              text);
    if (code == CUDNN_STATUS_ALLOC_FAILED) return E_NOMEM;
    // NOT_SUPPORTED and its kinds are the 3000s.
    return code / 1000 == CUDNN_STATUS_NOT_SUPPORTED / 1000 ? E_UNSUPPORTED : E_DEVICE;
}
