// state.json, written and read with every byte accounted for.
#include "train/checkpoint_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/pulse.h"
#include "io/json.h"
#include "io/json_write.h"

enum { STATE_VERSION = 1 };
static const char no_sum[] = "00000000000000000000000000000000";

static void sum_bytes(const void *data, size_t n, char sum[CHECKPOINT_SUM_BYTES])
{
    XXH128_hash_t h = XXH3_128bits(data, n);
    (void)snprintf(sum, CHECKPOINT_SUM_BYTES, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64,
                   (uint64_t)h.low64);
}

status checkpoint_sum_file(const char *path, char sum[CHECKPOINT_SUM_BYTES])
{
    struct file_map map;
    TRY(file_map(path, &map));
    sum_bytes(map.data, map.size, sum);
    pulse_beat();
    file_unmap(&map);
    return OK;
}

static void write_hash(struct json_write *w, const char *key, uint64_t hash)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%016" PRIx64, hash);
    json_write_text(w, key, text);
}

static void write_members(struct json_write *w, const struct checkpoint_state *s)
{
    const struct checkpoint_layout *l = &s->layout;
    json_write_integer(w, "format", STATE_VERSION);
    json_write_integer(w, "step", s->step);
    json_write_integer(w, "epoch", s->epoch);
    json_write_integer(w, "seed", s->seed);
    json_write_object(w, "layout");
    json_write_integer(w, "ranks", l->ranks);
    json_write_integer(w, "devices_per_rank", l->devices_per_rank);
    json_write_integer(w, "threads", l->threads);
    json_write_integer(w, "micro_batch", l->micro_batch);
    json_write_text(w, "comm", l->comm);
    json_write_text(w, "device", l->device);
    json_write_text(w, "library", l->library);
    json_write_text(w, "version", l->version);
    json_write_end(w);
    write_hash(w, "train_checksum", s->train_checksum);
    write_hash(w, "val_checksum", s->val_checksum);
    json_write_text(w, "config", s->config_yaml);
}

static status compose(const struct checkpoint_state *s, const char *model_sum,
                      const char *optimizer_sum, char **text, size_t *n)
{
    FILE *file = open_memstream(text, n);
    REQUIRE(file != NULL, E_NOMEM, "out of memory writing a checkpoint's state");
    struct json_write w;
    json_write_init(&w, file, 1);
    json_write_object(&w, NULL);
    write_members(&w, s);
    json_write_text(&w, "model_checksum", model_sum);
    json_write_text(&w, "optimizer_checksum", optimizer_sum);
    json_write_text(&w, "checksum", no_sum);
    json_write_end(&w);
    REQUIRE(fclose(file) == 0, E_NOMEM, "out of memory writing a checkpoint's state");
    return OK;
}

// Where the text's own checksum stands: the last run of 32 characters in quotes.
static char *own_sum(char *text, size_t n)
{
    const size_t length = CHECKPOINT_SUM_BYTES - 1;
    for (size_t end = n; end > length + 1; end--)
        if (text[end - 1] == '"') return text + end - 1 - length;
    return NULL;
}

status checkpoint_write_state(const char *path, const struct checkpoint_state *s,
                              const char *model_sum, const char *optimizer_sum)
{
    char *text = NULL, sum[CHECKPOINT_SUM_BYTES];
    size_t n;
    status st = compose(s, model_sum, optimizer_sum, &text, &n);
    if (st == OK) {
        char *place = own_sum(text, n);
        ASSERT(place != NULL && memcmp(place, no_sum, sizeof sum - 1) == 0);
        sum_bytes(text, n, sum);
        memcpy(place, sum, sizeof sum - 1);
        st = file_write(path, text, n);
    }
    free(text);
    return st;
}

static status verify_own(const char *path, const char *text, size_t n)
{
    char *copy = NULL, sum[CHECKPOINT_SUM_BYTES], stated[CHECKPOINT_SUM_BYTES] = "";
    TRY(mem_alloc(&copy, n + 1));
    memcpy(copy, text, n + 1);
    char *place = own_sum(copy, n);
    bool same = false;
    if (place != NULL) {
        memcpy(stated, place, sizeof stated - 1);
        memcpy(place, no_sum, sizeof stated - 1);
        sum_bytes(copy, n, sum);
        same = memcmp(stated, sum, sizeof sum - 1) == 0;
    }
    mem_free(copy);
    REQUIRE(same, E_FORMAT, "%s: its checksum does not fit its contents", path);
    return OK;
}

static status copy_text(const struct json *object, const char *key, char *to, size_t bytes)
{
    const char *text;
    TRY(json_get_text(object, key, &text));
    (void)snprintf(to, bytes, "%s", text);
    return OK;
}

static status read_hash(const struct json *object, const char *key, uint64_t *hash)
{
    const char *text;
    TRY(json_get_text(object, key, &text));
    *hash = strtoull(text, NULL, 16);
    return OK;
}

static status read_int(const struct json *object, const char *key, int *to)
{
    int64_t value;
    TRY(json_get_integer(object, key, &value));
    *to = (int)value;
    return OK;
}

static status read_layout(const struct json *from, struct checkpoint_layout *l)
{
    TRY(read_int(from, "ranks", &l->ranks));
    TRY(read_int(from, "devices_per_rank", &l->devices_per_rank));
    TRY(read_int(from, "threads", &l->threads));
    TRY(read_int(from, "micro_batch", &l->micro_batch));
    TRY(copy_text(from, "comm", l->comm, sizeof l->comm));
    TRY(copy_text(from, "device", l->device, sizeof l->device));
    TRY(copy_text(from, "library", l->library, sizeof l->library));
    return copy_text(from, "version", l->version, sizeof l->version);
}

static status read_members(const char *path, const struct json *root, struct checkpoint_state *s,
                           struct checkpoint_sums *sums)
{
    int64_t format;
    const struct json *layout;
    const char *yaml;
    TRY(json_get_integer(root, "format", &format));
    REQUIRE(format == STATE_VERSION, E_FORMAT, "%s: format %lld, this Shoal reads %d", path,
            (long long)format, STATE_VERSION);
    TRY(json_get_integer(root, "step", &s->step));
    TRY(json_get_integer(root, "epoch", &s->epoch));
    TRY(json_get_integer(root, "seed", &s->seed));
    TRY(json_get(root, "layout", JSON_KIND_OBJECT, &layout));
    TRY(read_layout(layout, &s->layout));
    TRY(read_hash(root, "train_checksum", &s->train_checksum));
    TRY(read_hash(root, "val_checksum", &s->val_checksum));
    TRY(copy_text(root, "model_checksum", sums->model, sizeof sums->model));
    TRY(copy_text(root, "optimizer_checksum", sums->optimizer, sizeof sums->optimizer));
    TRY(json_get_text(root, "config", &yaml));
    return mem_strdup(yaml, &s->config_yaml);
}

status checkpoint_parse_state(const char *path, struct checkpoint_state *s,
                              struct checkpoint_sums *sums)
{
    char *text = NULL;
    size_t n;
    struct json_document *document = NULL;
    status st = OK;
    memset(s, 0, sizeof *s);
    TRY(file_read(path, &text, &n));
    TRY_GOTO(st, verify_own(path, text, n), out);
    TRY_GOTO(st, json_parse(text, n, path, &document), out);
    TRY_GOTO(st, read_members(path, json_root(document), s, sums), out);
out:
    json_destroy(document);
    mem_free(text);
    return st;
}

void checkpoint_state_fini(struct checkpoint_state *s)
{
    mem_free(s->config_yaml);
    s->config_yaml = NULL;
}
