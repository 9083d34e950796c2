// The manifest in memory.
#include "io/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"

static void free_categories(struct manifest *m)
{
    for (int i = 0; i < m->n_categories; i++) mem_free(m->categories[i].name);
    mem_free(m->categories);
    m->categories = NULL;
    m->n_categories = 0;
}

void manifest_fini(struct manifest *m)
{
    free_categories(m);
    for (int i = 0; i < m->n_shards; i++) {
        mem_free(m->shards[i].file);
        mem_free(m->shards[i].empty);
    }
    mem_free(m->shards);
    *m = (struct manifest){0};
}

status manifest_add_shard(struct manifest *m, const char *file, struct manifest_shard **out)
{
    char *name = NULL;
    TRY(mem_strdup(file, &name));
    status st = mem_resize(&m->shards, (size_t)m->n_shards + 1);
    if (st != OK) {
        mem_free(name);
        return st;
    }
    m->shards[m->n_shards] = (struct manifest_shard){.file = name};
    *out = &m->shards[m->n_shards++];
    return OK;
}

static int compare_labels(const void *a, const void *b)
{
    int32_t x = ((const struct category *)a)->label, y = ((const struct category *)b)->label;
    return (x > y) - (x < y);
}

status manifest_set_categories(struct manifest *m, const struct category *from, int n)
{
    free_categories(m);
    TRY(mem_zalloc(&m->categories, (size_t)n));
    for (int i = 0; i < n; i++) {
        m->categories[i].label = from[i].label;
        m->categories[i].id = from[i].id;
        m->n_categories = i + 1;
        TRY(mem_strdup(from[i].name, &m->categories[i].name));
    }
    qsort(m->categories, (size_t)n, sizeof *m->categories, compare_labels);
    return OK;
}

void manifest_count(struct manifest_counts *counts, const struct record_image *image)
{
    counts->images++;
    counts->usable += record_image_is_usable(image->annotations, (size_t)image->n_annotations);
    counts->annotations += (uint64_t)image->n_annotations;
    for (int i = 0; i < image->n_annotations; i++) {
        const struct annotation *a = &image->annotations[i];
        counts->crowds += a->is_crowd;
        counts->empty_boxes += a->w <= 0 || a->h <= 0;
        counts->boxes_past_edge +=
            a->x < 0 || a->y < 0 || a->x + a->w > image->w || a->y + a->h > image->h;
    }
}

// Everything as text, of which the checksum is taken.
static void print_all(const struct manifest *m, FILE *to)
{
    const struct manifest_counts *c = &m->counts;
    (void)fprintf(to, "%d %llu %llu %llu %llu %llu %llu\n", MANIFEST_VERSION,
                  (unsigned long long)c->images, (unsigned long long)c->usable,
                  (unsigned long long)c->annotations, (unsigned long long)c->crowds,
                  (unsigned long long)c->empty_boxes, (unsigned long long)c->boxes_past_edge);
    for (int i = 0; i < m->n_categories; i++)
        (void)fprintf(to, "%d %lld %zu %s\n", m->categories[i].label,
                      (long long)m->categories[i].id, strlen(m->categories[i].name),
                      m->categories[i].name);
    for (int i = 0; i < m->n_shards; i++) {
        const struct manifest_shard *s = &m->shards[i];
        (void)fprintf(to, "%zu %s %llu %llu %llu %08x %08x %llu", strlen(s->file), s->file,
                      (unsigned long long)s->n_records, (unsigned long long)s->n_usable,
                      (unsigned long long)s->bytes, s->crc, s->index_crc,
                      (unsigned long long)s->n_empty);
        for (uint64_t k = 0; k < s->n_empty; k++)
            (void)fprintf(to, " %llu", (unsigned long long)s->empty[k]);
        (void)fputc('\n', to);
    }
}

status manifest_checksum(const struct manifest *m, uint64_t *out)
{
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    REQUIRE(to != NULL, E_NOMEM, "out of memory for a checksum");
    print_all(m, to);
    bool failed = ferror(to) != 0;
    failed = fclose(to) != 0 || failed;
    if (!failed) *out = rng_id_from_text(text);
    free(text);
    REQUIRE(!failed, E_NOMEM, "out of memory for a checksum");
    return OK;
}
