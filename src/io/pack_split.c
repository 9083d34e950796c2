// Deals images to parts (train, val) by chance that depends on the image's id and the seed alone.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "io/pack_internal.h"

struct ticket {
    uint64_t draw;
    size_t image;
};

static int compare_tickets(const void *a, const void *b)
{
    const struct ticket *x = a, *y = b;
    if (x->draw != y->draw) return x->draw < y->draw ? -1 : 1;
    return (x->image > y->image) - (x->image < y->image);
}

static int compare_images(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

static bool is_name(const char *s)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    return s[0] != '\0' && s[strspn(s, allowed)] == '\0';
}

status pack_split_check(const struct pack_params *p)
{
    double sum = 0;
    for (int i = 0; i < p->n_splits; i++) {
        const struct pack_split *split = &p->splits[i];
        REQUIRE(is_name(split->name), E_ARG, "--split: \"%s\" is no name (letters, digits, _ . -)",
                split->name);
        REQUIRE(split->fraction > 0 && split->fraction <= 1, E_ARG,
                "--split: %s=%g, want a fraction in 0..1", split->name, split->fraction);
        for (int k = 0; k < i; k++)
            REQUIRE(strcmp(p->splits[k].name, split->name) != 0, E_ARG, "--split: %s stands twice",
                    split->name);
        sum += split->fraction;
    }
    REQUIRE(p->n_splits == 0 || fabs(sum - 1) < 1e-9, E_ARG,
            "--split: the fractions add up to %.9g, want 1", sum);
    return OK;
}

static status draw(const struct pack_params *p, const struct coco *c, const size_t *images,
                   size_t n, struct ticket **out)
{
    TRY(mem_alloc(out, n));
    for (size_t i = 0; i < n; i++) {
        const struct coco_id *id = &c->images[images[i]].id;
        uint64_t key = id->is_number ? (uint64_t)id->number : rng_id_from_text(id->text);
        key = rng_key((uint64_t)p->seed, 0, key, RNG_PURPOSE_SPLIT);
        (*out)[i] = (struct ticket){rng_u64(key, 0), images[i]};
    }
    qsort(*out, n, sizeof **out, compare_tickets);
    return OK;
}

static status take(const struct ticket *tickets, size_t n, struct pack_part *part)
{
    TRY(mem_alloc(&part->images, n));
    part->n = n;
    for (size_t i = 0; i < n; i++) part->images[i] = tickets[i].image;
    qsort(part->images, n, sizeof *part->images, compare_images);
    return OK;
}

// Parts end at the rounded sums of the fractions, so that every image is in one.
static status deal(const struct pack_params *p, const struct ticket *tickets, size_t n,
                   struct pack_part *parts)
{
    double sum = 0;
    size_t first = 0;
    for (int i = 0; i < p->n_splits; i++) {
        sum += p->splits[i].fraction;
        size_t end = i == p->n_splits - 1 ? n : (size_t)floor(sum * (double)n + 0.5);
        if (end > n) end = n;
        TRY(mem_printf(&parts[i].path, "%s-%s", p->out, p->splits[i].name));
        TRY(take(&tickets[first], end - first, &parts[i]));
        first = end;
    }
    return OK;
}

status pack_split_images(const struct pack_params *p, const struct coco *c, const size_t *images,
                         size_t n, struct pack_part *parts)
{
    struct ticket *tickets = NULL;
    if (p->n_splits == 0) {
        TRY(mem_strdup(p->out, &parts[0].path));
        TRY(mem_alloc(&parts[0].images, n));
        if (n > 0) memcpy(parts[0].images, images, n * sizeof *images);
        parts[0].n = n;
        return OK;
    }
    status st = draw(p, c, images, n, &tickets);
    if (st == OK) st = deal(p, tickets, n, parts);
    mem_free(tickets);
    return st;
}

void pack_split_fini(struct pack_part *part)
{
    mem_free(part->path);
    mem_free(part->images);
    *part = (struct pack_part){0};
}
