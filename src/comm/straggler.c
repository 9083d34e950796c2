// Means over the steps between two looks.
#include "comm/straggler.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"

enum { LOOKS_BETWEEN = 30 };
static const double limit_ratio = 1.5;

struct totals {
    int64_t n_steps;
    double own_s, data_wait_s;
};

struct straggler {
    int n_ranks;
    double look_s, due_s;
    struct totals *now, *before;
    double *mean_s, *sorted;
    int suspect;      // of the look before, -1 where there was none
    int looks_so_far; // at which it was slow
};

status straggler_create(int n_ranks, double look_s, double now_s, struct straggler **out)
{
    struct straggler *s = NULL;
    size_t n = (size_t)n_ranks;
    status st = OK;
    TRY(mem_zalloc(&s, 1));
    s->n_ranks = n_ranks;
    s->look_s = look_s;
    s->due_s = now_s + look_s;
    s->suspect = -1;
    TRY_GOTO(st, mem_zalloc(&s->now, n), fail);
    TRY_GOTO(st, mem_zalloc(&s->before, n), fail);
    TRY_GOTO(st, mem_zalloc(&s->mean_s, n), fail);
    TRY_GOTO(st, mem_zalloc(&s->sorted, n), fail);
    *out = s;
    return OK;
fail:
    straggler_destroy(s);
    return st;
}

void straggler_destroy(struct straggler *s)
{
    if (s == NULL) return;
    mem_free(s->sorted);
    mem_free(s->mean_s);
    mem_free(s->before);
    mem_free(s->now);
    mem_free(s);
}

bool straggler_due(struct straggler *s, double now_s)
{
    if (now_s < s->due_s) return false;
    s->due_s = now_s + s->look_s;
    return true;
}

void straggler_note(struct straggler *s, int rank, int64_t n_steps, double own_s,
                    double data_wait_s)
{
    s->now[rank] = (struct totals){n_steps, own_s, data_wait_s};
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The slowest rank, and the median rank's time.
static int slowest(struct straggler *s, double *median_s)
{
    int worst = 0;
    for (int r = 0; r < s->n_ranks; r++) {
        double steps = (double)(s->now[r].n_steps - s->before[r].n_steps);
        s->sorted[r] = s->mean_s[r] = (s->now[r].own_s - s->before[r].own_s) / steps;
        if (s->mean_s[r] > s->mean_s[worst]) worst = r;
    }
    qsort(s->sorted, (size_t)s->n_ranks, sizeof *s->sorted, ascending);
    *median_s = s->sorted[(s->n_ranks - 1) / 2];
    return worst;
}

static void describe(const struct straggler *s, int rank, double median_s,
                     char text[STRAGGLER_TEXT_BYTES])
{
    const struct totals *now = &s->now[rank], *before = &s->before[rank];
    double steps = (double)(now->n_steps - before->n_steps);
    (void)snprintf(text, STRAGGLER_TEXT_BYTES,
                   "is slow: %.3g s a step (%.3g s of them waiting for data), %.1f times the "
                   "median rank's %.3g s",
                   s->mean_s[rank], (now->data_wait_s - before->data_wait_s) / steps,
                   s->mean_s[rank] / median_s, median_s);
}

int straggler_find(struct straggler *s, char text[STRAGGLER_TEXT_BYTES])
{
    double median_s;
    for (int r = 0; r < s->n_ranks; r++)
        if (s->now[r].n_steps <= s->before[r].n_steps) return -1;
    int worst = slowest(s, &median_s);
    bool is_slow = s->mean_s[worst] > limit_ratio * median_s;
    s->looks_so_far = is_slow && worst == s->suspect ? s->looks_so_far + 1 : 0;
    s->suspect = is_slow ? worst : -1;
    describe(s, worst, median_s, text);
    for (int r = 0; r < s->n_ranks; r++) s->before[r] = s->now[r];
    return is_slow && s->looks_so_far % LOOKS_BETWEEN == 1 ? worst : -1;
}
