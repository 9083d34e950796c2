// What was measured: a run's step, and a scaling experiment's throughput.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/json.h"
#include "train/plan.h"

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Sorts. With an even number, the mean of the two in the middle.
static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, ascending);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// ---- metrics.jsonl ---------------------------------------------------------------------------

struct series {
    double *values;
    size_t n, capacity;
};

static status add_line(const char *line, size_t n, const char *path, int number, struct series *s)
{
    struct json_document *d = NULL;
    char name[512];
    (void)snprintf(name, sizeof name, "%s, line %d", path, number);
    TRY(json_parse(line, n, name, &d));
    double step_s, exposed_s;
    status st = OK;
    if (json_find(json_root(d), "loss") == NULL) goto out; // an evaluation
    TRY_GOTO(st, json_get_number(json_root(d), "step_s", &step_s), out);
    TRY_GOTO(st, json_get_number(json_root(d), "comm_exposed_s", &exposed_s), out);
    TRY_GOTO(st, mem_grow(&s->values, &s->capacity, s->n + 1), out);
    s->values[s->n++] = step_s - exposed_s;
out:
    json_destroy(d);
    return st;
}

static status add_lines(const char *text, const char *path, struct series *s)
{
    int number = 1;
    for (const char *end; (end = strchr(text, '\n')) != NULL; text = end + 1, number++)
        if (end > text) TRY(add_line(text, (size_t)(end - text), path, number, s));
    REQUIRE(s->n > 0, E_FORMAT, "%s: no step in it", path);
    return OK;
}

status plan_read_step(const char *metrics_path, double *step_s)
{
    struct series s = {.n = 0};
    char *text = NULL;
    size_t n;
    TRY(file_read(metrics_path, &text, &n));
    status st = add_lines(text, metrics_path, &s);
    if (st == OK) *step_s = median(s.values + s.n / 10, s.n - s.n / 10);
    mem_free(s.values);
    mem_free(text);
    return st;
}

// ---- scaling.csv -----------------------------------------------------------------------------

enum { MAX_FIELDS = 64 };

// Splits a line in place; quotes are not understood, numbers and plain words need none.
static int split(char *line, char *fields[MAX_FIELDS])
{
    int n = 0;
    for (char *at = line; at != NULL && n < MAX_FIELDS; n++) {
        fields[n] = at;
        at = strchr(at, ',');
        if (at != NULL) *at++ = '\0';
    }
    return n;
}

static int column_of(char *const *fields, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(fields[i], name) == 0) return i;
    return -1;
}

struct columns {
    int ranks, images_per_s, mode; // mode: -1 where there is none
};

struct sample {
    int ranks;
    double images_per_s;
};

struct samples {
    struct sample *items;
    size_t n, capacity;
};

static status add_sample(char *line, const char *path, int number, const struct columns *c,
                         const char *mode, struct samples *s)
{
    char *fields[MAX_FIELDS], *end_ranks, *end_rate;
    int n = split(line, fields);
    REQUIRE(c->ranks < n && c->images_per_s < n && c->mode < n, E_FORMAT,
            "%s, line %d: %d fields, fewer than the first line names", path, number, n);
    if (c->mode >= 0 && strcmp(fields[c->mode], mode) != 0) return OK;
    struct sample got = {(int)strtol(fields[c->ranks], &end_ranks, 10),
                         strtod(fields[c->images_per_s], &end_rate)};
    bool good = *end_ranks == '\0' && *end_rate == '\0' && got.ranks > 0 && got.images_per_s > 0;
    REQUIRE(good, E_FORMAT, "%s, line %d: ranks %s and images_per_s %s, want two positive numbers",
            path, number, fields[c->ranks], fields[c->images_per_s]);
    TRY(mem_grow(&s->items, &s->capacity, s->n + 1));
    s->items[s->n++] = got;
    return OK;
}

static status read_samples(char *text, const char *path, const char *mode, struct samples *s)
{
    struct columns c = {-1, -1, -1};
    char *rest = NULL;
    int number = 1;
    for (char *line = strtok_r(text, "\r\n", &rest); line != NULL;
         line = strtok_r(NULL, "\r\n", &rest), number++) {
        if (number > 1) {
            TRY(add_sample(line, path, number, &c, mode, s));
            continue;
        }
        char *fields[MAX_FIELDS];
        int n = split(line, fields);
        c = (struct columns){column_of(fields, n, "ranks"), column_of(fields, n, "images_per_s"),
                             column_of(fields, n, "mode")};
        REQUIRE(c.ranks >= 0 && c.images_per_s >= 0, E_FORMAT,
                "%s: its first line names no columns \"ranks\" and \"images_per_s\"", path);
    }
    REQUIRE(s->n > 0, E_FORMAT, "%s: no line of mode %s", path, mode);
    return OK;
}

static int by_ranks(const void *a, const void *b)
{
    return ((const struct sample *)a)->ranks - ((const struct sample *)b)->ranks;
}

static status summarise(struct samples *s, struct plan_measured *out)
{
    double *rates = NULL;
    TRY(mem_alloc(&rates, s->n));
    qsort(s->items, s->n, sizeof *s->items, by_ranks);
    out->n = 0;
    for (size_t i = 0, j; i < s->n; i = j) {
        for (j = i; j < s->n && s->items[j].ranks == s->items[i].ranks; j++)
            rates[j - i] = s->items[j].images_per_s;
        if (out->n == PLAN_MAX_MEASURED) break;
        out->at[out->n].ranks = s->items[i].ranks;
        out->at[out->n].images_per_s = median(rates, j - i);
        double first = out->at[0].images_per_s / out->at[0].ranks;
        out->at[out->n].efficiency = out->at[out->n].images_per_s / out->at[out->n].ranks / first;
        out->n++;
    }
    mem_free(rates);
    return OK;
}

status plan_read_scaling(const char *csv_path, bool strong, struct plan_measured *out)
{
    struct samples s = {.n = 0};
    char *text = NULL;
    size_t n;
    TRY(file_read(csv_path, &text, &n));
    status st = read_samples(text, csv_path, strong ? "strong" : "weak", &s);
    if (st == OK) st = summarise(&s, out);
    mem_free(s.items);
    mem_free(text);
    return st;
}
