// Finding, verifying and loading checkpoints.
#include "train/checkpoint_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "io/json.h"
#include "io/json_write.h"
#include "io/safetensors.h"

static const char folder_prefix[] = "step-";

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// "step-00001000" -> 1000; false for any other name.
static bool parse_name(const char *name, int64_t *step)
{
    size_t n = strlen(folder_prefix);
    if (strncmp(name, folder_prefix, n) != 0 || !isdigit((unsigned char)name[n])) return false;
    char *end;
    *step = strtoll(name + n, &end, 10);
    return *end == '\0';
}

static status list_into(DIR *folder, int64_t **steps, size_t *n)
{
    size_t capacity = 0;
    for (const struct dirent *e = readdir(folder); e != NULL; e = readdir(folder)) {
        int64_t step;
        if (!parse_name(e->d_name, &step)) continue;
        TRY(mem_grow(steps, &capacity, *n + 1));
        (*steps)[(*n)++] = step;
    }
    if (*n > 0) qsort(*steps, *n, sizeof **steps, ascending);
    return OK;
}

status checkpoint_list(const char *out_dir, int64_t **steps, size_t *n)
{
    char *path = NULL;
    *steps = NULL;
    *n = 0;
    TRY(mem_printf(&path, "%s/checkpoints", out_dir));
    DIR *folder = opendir(path);
    mem_free(path);
    if (folder == NULL) return OK;
    status st = list_into(folder, steps, n);
    (void)closedir(folder);
    return st;
}

status checkpoint_folder_of(const char *out_dir, int64_t step, char **path)
{
    return mem_printf(path, "%s/checkpoints/%s%08" PRId64, out_dir, folder_prefix, step);
}

bool checkpoint_exists(const char *out_dir)
{
    int64_t *steps = NULL;
    size_t n = 0;
    bool any = checkpoint_list(out_dir, &steps, &n) == OK && n > 0;
    mem_free(steps);
    return any;
}

static status verify_file(const char *folder, const char *name, const char *stated)
{
    char *path = NULL, sum[CHECKPOINT_SUM_BYTES];
    TRY(mem_printf(&path, "%s/%s", folder, name));
    status st = checkpoint_sum_file(path, sum);
    if (st == OK && strcmp(sum, stated) != 0) {
        error_set(__FILE__, __LINE__, "%s: its checksum is not the one in " CHECKPOINT_STATE, path);
        st = E_FORMAT;
    }
    mem_free(path);
    return st;
}

static status parse(const char *folder, struct checkpoint_state *s, struct checkpoint_sums *sums)
{
    char *path = NULL;
    TRY(mem_printf(&path, "%s/" CHECKPOINT_STATE, folder));
    status st = checkpoint_parse_state(path, s, sums);
    mem_free(path);
    return st;
}

status checkpoint_verify(const char *folder)
{
    struct checkpoint_state s = {0};
    struct checkpoint_sums sums;
    status st = parse(folder, &s, &sums);
    checkpoint_state_fini(&s);
    TRY(st);
    TRY(verify_file(folder, CHECKPOINT_MODEL, sums.model));
    return verify_file(folder, CHECKPOINT_OPTIMIZER, sums.optimizer);
}

status checkpoint_find(const char *out_dir, char **folder)
{
    int64_t *steps = NULL;
    size_t n = 0;
    *folder = NULL;
    TRY(checkpoint_list(out_dir, &steps, &n));
    status st = OK;
    while (n > 0 && st == OK && *folder == NULL) {
        char *path = NULL;
        st = checkpoint_folder_of(out_dir, steps[--n], &path);
        if (st == OK) st = checkpoint_verify(path);
        if (st == OK) {
            *folder = path;
            break;
        }
        mem_free(path);
        if (st == E_NOMEM) break; // says nothing about the checkpoint
        log_warn("checkpoint refused: %s; trying the one before", error_text());
        st = OK;
    }
    mem_free(steps);
    return st;
}

status checkpoint_read_state(const char *folder, struct checkpoint_state *out)
{
    struct checkpoint_sums sums;
    status st = parse(folder, out, &sums);
    if (st != OK) checkpoint_state_fini(out);
    return st;
}

// Infinity may stand in Adam's second moments; what is no number ruins the weights in one step.
static status check_numbers(const char *path, const struct safetensors_entry *e)
{
    const float *value = e->data;
    for (size_t i = 0; i < e->n; i++)
        REQUIRE(!isnan(value[i]), E_FORMAT, "%s: %s[%zu] is no number", path, e->name, i);
    return OK;
}

static status load_optimizer(const char *path, struct optimizer *o, int64_t n)
{
    struct safetensors *file = NULL;
    TRY(safetensors_open(path, &file));
    status st = OK;
    for (int i = 0; i < optimizer_n_states(o) && st == OK; i++) {
        const char *name = optimizer_state_name(o, i);
        const struct safetensors_entry *e = safetensors_find(file, name);
        if (e == NULL || e->type != SAFETENSORS_TYPE_F32 || (int64_t)e->n != n) {
            error_set(__FILE__, __LINE__, "%s: %s of %lld floats is missing", path, name,
                      (long long)n);
            st = E_FORMAT;
        } else {
            st = check_numbers(path, e);
            if (st == OK) st = optimizer_import(o, i, e->data);
        }
    }
    safetensors_close(file);
    return st;
}

status checkpoint_load(const char *folder, struct params *params, struct optimizer *o)
{
    char *path = NULL;
    TRY(mem_printf(&path, "%s/" CHECKPOINT_MODEL, folder));
    status st = weights_load(params, path, WEIGHTS_MODE_EXACT);
    mem_free(path);
    TRY(st);
    if (o == NULL) return OK;
    TRY(mem_printf(&path, "%s/" CHECKPOINT_OPTIMIZER, folder));
    st = load_optimizer(path, o, params_n_trainable(params));
    mem_free(path);
    return st;
}

static status done_path(const char *out_dir, char **path)
{
    return mem_printf(path, "%s/done.json", out_dir);
}

static status read_model_sum(const char *out_dir, int64_t step, char sum[CHECKPOINT_SUM_BYTES])
{
    char *folder = NULL;
    struct checkpoint_state s = {0};
    struct checkpoint_sums sums = {.model = ""};
    TRY(checkpoint_folder_of(out_dir, step, &folder));
    status st = parse(folder, &s, &sums);
    memcpy(sum, sums.model, sizeof sums.model);
    checkpoint_state_fini(&s);
    mem_free(folder);
    return st;
}

status checkpoint_write_done(const char *out_dir, int64_t step)
{
    char *path = NULL, sum[CHECKPOINT_SUM_BYTES];
    struct file_atomic f = {0};
    status st = OK;
    TRY(read_model_sum(out_dir, step, sum));
    TRY(done_path(out_dir, &path));
    TRY_GOTO(st, file_atomic_open(path, &f), out);
    struct json_write w;
    json_write_init(&w, f.file, 0);
    json_write_object(&w, NULL);
    json_write_integer(&w, "step", step);
    json_write_text(&w, "model_checksum", sum);
    json_write_end(&w);
    TRY_GOTO(st, file_atomic_commit(&f), out);
out:
    file_atomic_abort(&f);
    mem_free(path);
    return st;
}

bool checkpoint_read_done(const char *out_dir, int64_t *step)
{
    char *path = NULL;
    struct json_document *document = NULL;
    if (done_path(out_dir, &path) != OK) return false;
    bool there = file_exists(path) && json_read(path, &document) == OK &&
                 json_get_integer(json_root(document), "step", step) == OK;
    json_destroy(document);
    mem_free(path);
    return there;
}

status checkpoint_remove_done(const char *out_dir)
{
    char *path = NULL;
    TRY(done_path(out_dir, &path));
    bool failed = unlink(path) != 0 && errno != ENOENT;
    if (failed) error_set(__FILE__, __LINE__, "cannot remove %s: %s", path, strerror(errno));
    mem_free(path);
    return failed ? E_IO : OK;
}
