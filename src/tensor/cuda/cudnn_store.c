// A plan's file: four lines of text (what it is, for what device, for which graph, how it was
// chosen), one with the length and hash of what follows, cuDNN's JSON.
#include "tensor/cuda/cudnn_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"

struct cudnn_store {
    char *folder;   // NULL: plans are not kept
    char *identity; // of the device and libraries
    bool warned, read_only;
};

static const char magic[] = "shoal cuDNN plan 1";

static status choose_folder(char **out)
{
    const char *own = getenv("SHOAL_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    *out = NULL;
    if (own != NULL) return own[0] != '\0' ? mem_printf(out, "%s/plans", own) : OK;
    if (xdg != NULL && xdg[0] == '/') return mem_printf(out, "%s/shoal/plans", xdg);
    if (home != NULL && home[0] == '/') return mem_printf(out, "%s/.cache/shoal/plans", home);
    return OK;
}

status cudnn_store_create(const char *identity, struct cudnn_store **out)
{
    struct cudnn_store *s = NULL;
    status st = OK;
    TRY(mem_zalloc(&s, 1));
    TRY_GOTO(st, mem_strdup(identity, &s->identity), out);
    TRY_GOTO(st, choose_folder(&s->folder), out);
    *out = s;
    s = NULL;
out:
    cudnn_store_destroy(s);
    return st;
}

void cudnn_store_destroy(struct cudnn_store *s)
{
    if (s == NULL) return;
    mem_free(s->folder);
    mem_free(s->identity);
    mem_free(s);
}

static uint64_t hash_of(uint64_t hash, const void *data, size_t n) // FNV-1a
{
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
    return hash;
}

static const uint64_t hash_seed = 0xcbf29ce484222325u;

// The first three lines: what a file has to begin with to be this graph's.
static status key_of(const struct cudnn_store *s, const struct cudnn_graph_desc *d, char **out)
{
    char text[CUDNN_GRAPH_TEXT_BYTES];
    const int32_t *numbers = (const int32_t *)(const void *)d;
    TRY(mem_printf(out, "%s\n%s\n%s:", magic, s->identity, cudnn_graph_text(d, text)));
    for (size_t i = 0; i < sizeof *d / sizeof *numbers; i++) {
        char *longer;
        status st = mem_printf(&longer, "%s %" PRId32, *out, numbers[i]);
        mem_free(*out);
        *out = st == OK ? longer : NULL;
        if (st != OK) return st;
    }
    return OK;
}

static status path_of(const struct cudnn_store *s, const char *key, char **out)
{
    return mem_printf(out, "%s/%016" PRIx64 ".plan", s->folder,
                      hash_of(hash_seed, key, strlen(key)));
}

static void warn(struct cudnn_store *s, const char *path, const char *why)
{
    if (!s->warned) log_warn("plan cache: %s: %s; planned anew", path, why);
    s->warned = true;
}

struct content {
    float ms; // < 0: not measured
    const char *json;
    size_t n;
};

// What is wrong with a file; NULL where nothing is.
static const char *parse(const char *data, size_t n, const char *key, struct content *out)
{
    const size_t n_key = strlen(key);
    uint64_t want;
    int n_header = 0;
    if (n < n_key + 1 || memcmp(data, key, n_key) != 0 || data[n_key] != '\n')
        return strncmp(data, magic, strlen(magic)) == 0
                   ? "is another device's, library's or graph's"
                   : "is no plan";
    const char *rest = data + n_key + 1;
    if (sscanf(rest, "ms %f\nbytes %zu hash %16" SCNx64 "%n", &out->ms, &out->n, &want,
               &n_header) != 3 ||
        rest[n_header] != '\n')
        return "is damaged";
    out->json = rest + n_header + 1;
    if (out->n != n - (size_t)(out->json - data) || hash_of(hash_seed, out->json, out->n) != want)
        return "is damaged";
    return NULL;
}

static status restore(const struct cudnn_target *target, const struct content *c,
                      struct cudnn_plan *out)
{
    TRY(cudnn_plan_restore(target, c->json, c->n, out));
    out->measured_ms = c->ms;
    return OK;
}

static status load(struct cudnn_store *s, const struct cudnn_target *target, const char *key,
                   const char *path, struct cudnn_plan *out, bool *found)
{
    struct content c;
    char *data = NULL;
    size_t n;
    if (!file_exists(path)) return OK;
    if (file_read(path, &data, &n) != OK) {
        warn(s, path, error_text());
        error_clear();
        return OK;
    }
    const char *wrong = parse(data, n, key, &c);
    if (wrong == NULL && restore(target, &c, out) != OK) {
        cudnn_plan_fini(target->library, out);
        wrong = error_text();
    }
    *found = wrong == NULL;
    if (wrong != NULL) {
        warn(s, path, wrong);
        error_clear();
    }
    mem_free(data);
    return OK;
}

status cudnn_store_load(struct cudnn_store *s, const struct cudnn_target *target,
                        const struct cudnn_graph_desc *d, struct cudnn_plan *out, bool *found)
{
    char *key = NULL, *path = NULL;
    status st = OK;
    *found = false;
    if (s->folder == NULL) return OK;
    TRY_GOTO(st, key_of(s, d, &key), out);
    TRY_GOTO(st, path_of(s, key, &path), out);
    TRY_GOTO(st, load(s, target, key, path, out, found), out);
out:
    mem_free(path);
    mem_free(key);
    return st;
}

static status write(const char *folder, const char *path, const char *key,
                    const struct cudnn_plan *p, const char *json, size_t n)
{
    struct file_atomic f;
    TRY(file_make_folders(folder));
    TRY(file_atomic_open(path, &f));
    (void)fprintf(f.file, "%s\nms %g\nbytes %zu hash %016" PRIx64 "\n", key, (double)p->measured_ms,
                  n, hash_of(hash_seed, json, n));
    (void)fwrite(json, 1, n, f.file);
    return file_atomic_commit(&f);
}

status cudnn_store_save(struct cudnn_store *s, const struct cudnn_target *target,
                        const struct cudnn_graph_desc *d, const struct cudnn_plan *p)
{
    char *key = NULL, *path = NULL, *json = NULL;
    size_t n;
    status st = OK;
    if (s->folder == NULL || s->read_only) return OK;
    TRY_GOTO(st, key_of(s, d, &key), out);
    TRY_GOTO(st, path_of(s, key, &path), out);
    if (cudnn_plan_text(target->library, p, &json, &n) != OK ||
        write(s->folder, path, key, p, json, n) != OK) {
        log_warn("plan cache: %s; plans are not kept", error_text());
        error_clear();
        s->read_only = true;
    }
out:
    mem_free(path);
    mem_free(key);
    mem_free(json);
    return st;
}
