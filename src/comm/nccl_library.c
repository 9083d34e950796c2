// Opening NCCL, and its errors.
#include "comm/nccl.h"

#include <stdio.h>

#ifndef SHOAL_CUDA

bool nccl_describe(char *text, size_t bytes)
{
    (void)snprintf(text, bytes, "missing: this program was built without a GPU backend");
    return false;
}

#else

#include <dlfcn.h>
#include <string.h>

#include "comm/nccl_internal.h"
#include "core/mem.h"

static const char library_name[] = "libnccl.so.2";

static status load(struct nccl_library *l)
{
    const struct {
        const char *name;
        void *slot;
    } entries[] = {
        {"ncclGetVersion", &l->get_version},
        {"ncclGetUniqueId", &l->get_unique_id},
        {"ncclCommInitRank", &l->init_rank},
        {"ncclCommDestroy", &l->destroy},
        {"ncclCommAbort", &l->abort},
        {"ncclCommGetAsyncError", &l->get_async_error},
        {"ncclAllReduce", &l->all_reduce},
        {"ncclGetErrorString", &l->get_error_string},
        {"ncclGetLastError", &l->get_last_error},
    };
    int version = 0;
    l->handle = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    REQUIRE(l->handle != NULL, E_UNSUPPORTED,
            "%s cannot be opened: %s; several GPUs need NCCL 2: install it (libnccl2), or put its "
            "folder on LD_LIBRARY_PATH",
            library_name, dlerror());
    for (size_t i = 0; i < COUNT(entries); i++) {
        void *found = dlsym(l->handle, entries[i].name);
        REQUIRE(found != NULL, E_UNSUPPORTED, "%s has no %s", library_name, entries[i].name);
        memcpy(entries[i].slot, &found, sizeof found);
    }
    REQUIRE(l->get_version(&version) == ncclSuccess && version / 10000 == 2, E_UNSUPPORTED,
            "%s is version %d, want 2.x (2xxxx)", library_name, version);
    return OK;
}

status nccl_library_open(struct nccl_library **out)
{
    struct nccl_library *l = NULL;
    TRY(mem_zalloc(&l, 1));
    status st = load(l);
    if (st != OK) {
        mem_free(l);
        return st;
    }
    *out = l;
    return OK;
}

// The library itself stays: threads of its own may live on.
void nccl_library_close(struct nccl_library *l)
{
    mem_free(l);
}

void nccl_library_version(const struct nccl_library *l, char *text, size_t bytes)
{
    int v = 0;
    if (l->get_version(&v) != ncclSuccess) v = 0;
    (void)snprintf(text, bytes, "%d.%d.%d", v / 10000, v / 100 % 100, v % 100);
}

status nccl_library_check(const struct nccl_library *l, ncclResult_t code, const char *file,
                          int line, const char *call)
{
    if (code == ncclSuccess) return OK;
    const char *more = l->get_last_error(NULL);
    error_set(file, line, "NCCL: %s: %s (code %d)%s%s", call, l->get_error_string(code), (int)code,
              more != NULL && more[0] != '\0' ? ": " : "", more != NULL ? more : "");
    return E_COMM;
}

bool nccl_describe(char *text, size_t bytes)
{
    struct nccl_library *l = NULL;
    if (nccl_library_open(&l) != OK) {
        (void)snprintf(text, bytes, "missing: %s", error_text());
        error_clear();
        return false;
    }
    nccl_library_version(l, text, bytes);
    nccl_library_close(l);
    return true;
}

#endif
