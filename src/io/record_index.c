// The index beside a record file.
#include "io/record_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/record.h"

status record_index_add(struct record_index *index, uint64_t offset, uint64_t bytes)
{
    TRY(mem_grow(&index->spans, &index->capacity, (size_t)index->n + 1));
    index->spans[index->n++] = (struct record_span){offset, bytes};
    return OK;
}

void record_index_fini(struct record_index *index)
{
    mem_free(index->spans);
    *index = (struct record_index){0};
}

status record_index_print(const struct record_index *index, char **text, size_t *n)
{
    enum { LINE_BYTES = 48 }; // two numbers of at most 20 digits
    char *all = NULL;
    size_t used = 0;
    TRY(mem_alloc_bytes((size_t)index->n + 1, LINE_BYTES, &all));
    for (uint64_t i = 0; i < index->n; i++)
        used += (size_t)snprintf(all + used, LINE_BYTES, "%llu %llu\n",
                                 (unsigned long long)index->spans[i].offset,
                                 (unsigned long long)index->spans[i].bytes);
    *text = all;
    *n = used;
    return OK;
}

static bool read_number(char **p, uint64_t *out)
{
    char *end;
    if (**p < '0' || **p > '9') return false;
    errno = 0;
    *out = strtoull(*p, &end, 10);
    *p = end;
    return errno == 0;
}

static status read_line(char **p, uint64_t at, struct record_index *index)
{
    uint64_t offset, bytes;
    bool good = read_number(p, &offset) && *(*p)++ == ' ' && read_number(p, &bytes);
    REQUIRE(good && (**p == '\n' || **p == '\0'), E_FORMAT, "want a line \"OFFSET LENGTH\"");
    if (**p == '\n') (*p)++;
    REQUIRE(offset == at, E_FORMAT, "frame at %llu, but the one before ends at %llu",
            (unsigned long long)offset, (unsigned long long)at);
    REQUIRE(bytes >= RECORD_FRAME_BYTES && bytes <= UINT64_MAX - at, E_FORMAT,
            "a frame of %llu bytes", (unsigned long long)bytes);
    return record_index_add(index, offset, bytes);
}

static status read_lines(char *text, const char *path, uint64_t file_bytes,
                         struct record_index *index)
{
    uint64_t at = 0;
    while (*text != '\0') {
        status st = read_line(&text, at, index);
        if (st != OK) {
            error_prefix("%s:%llu", path, (unsigned long long)index->n + 1);
            return st;
        }
        at += index->spans[index->n - 1].bytes;
    }
    REQUIRE(at == file_bytes, E_FORMAT, "%s: ends at byte %llu, but the records end at %llu", path,
            (unsigned long long)at, (unsigned long long)file_bytes);
    return OK;
}

status record_index_read(const char *path, uint64_t file_bytes, struct record_index *out,
                         uint32_t *crc)
{
    char *text = NULL;
    size_t n;
    *out = (struct record_index){0};
    TRY(file_read(path, &text, &n));
    *crc = record_crc(0, text, n);
    status st = OK;
    if (strlen(text) != n) {
        error_set(__FILE__, __LINE__, "%s: holds a zero byte, want lines of text", path);
        st = E_FORMAT;
    }
    if (st == OK) st = read_lines(text, path, file_bytes, out);
    mem_free(text);
    if (st != OK) record_index_fini(out);
    return st;
}
