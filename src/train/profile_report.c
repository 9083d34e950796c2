// Tables and trace of a profiled run.
#include "train/profile_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "io/json_write.h"

// A line of a table: one name's spans of the kinds that the table shows.
struct row {
    const char *name;
    int64_t n[PROFILE_N_KINDS];
    double seconds[PROFILE_N_KINDS], all;
};

enum { MAX_ROWS = 2 * PROFILE_MAX_TOTALS };

struct table {
    int n;
    struct row rows[MAX_ROWS];
};

static struct row *find_row(struct table *t, const char *name)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->rows[i].name, name) == 0) return &t->rows[i];
    if (t->n == MAX_ROWS) return NULL;
    t->rows[t->n] = (struct row){.name = name};
    return &t->rows[t->n++];
}

static int by_time(const void *a, const void *b)
{
    const struct row *left = a, *right = b;
    return left->all < right->all   ? 1
           : left->all > right->all ? -1
                                    : strcmp(left->name, right->name);
}

static void add_track(struct table *t, const struct profile_track *track, enum profile_kind kind)
{
    for (int i = 0; i < track->n_totals; i++) {
        const struct profile_total *total = &track->totals[i];
        struct row *r = total->kind == kind ? find_row(t, total->name) : NULL;
        if (r == NULL) continue;
        r->n[kind] += total->n;
        r->seconds[kind] += total->seconds;
        r->all += total->seconds;
    }
}

// Largest first.
static void fill(struct table *t, const struct profile_tracks *tracks,
                 const enum profile_kind *kinds, size_t n_kinds)
{
    t->n = 0;
    for (size_t i = 0; i < tracks->n; i++)
        for (size_t k = 0; k < n_kinds; k++) add_track(t, &tracks->items[i], kinds[k]);
    qsort(t->rows, (size_t)t->n, sizeof t->rows[0], by_time);
}

static double ms_each(double seconds, int64_t n)
{
    return n > 0 ? 1e3 * seconds / (double)n : 0;
}

static double percent(double part, double whole)
{
    return whole > 0 ? 100 * part / whole : 0;
}

static double print_phases(const struct profile_tracks *tracks, struct table *t, FILE *to)
{
    double whole = 0;
    fill(t, tracks, (enum profile_kind[]){PROFILE_KIND_PHASE}, 1);
    for (int i = 0; i < t->n; i++) whole += t->rows[i].all;
    (void)fprintf(to, "%-20s %9s %9s %10s %7s\n", "phase", "times", "s", "ms each", "share");
    for (int i = 0; i < t->n; i++) {
        const struct row *r = &t->rows[i];
        int64_t n = r->n[PROFILE_KIND_PHASE];
        (void)fprintf(to, "%-20s %9lld %9.3f %10.3f %6.1f%%\n", r->name, (long long)n, r->all,
                      ms_each(r->all, n), percent(r->all, whole));
    }
    (void)fprintf(to, "%-20s %9s %9.3f\n", "all phases", "", whole);
    return whole;
}

static void print_ops(const struct profile_tracks *tracks, double whole, struct table *t, FILE *to)
{
    static const enum profile_kind kinds[] = {PROFILE_KIND_FORWARD, PROFILE_KIND_BACKWARD};
    fill(t, tracks, kinds, COUNT(kinds));
    (void)fprintf(to, "%-20s %9s %9s %9s %10s %7s\n", "op", "times", "forward s", "times",
                  "backward s", "share");
    for (int i = 0; i < t->n; i++) {
        const struct row *r = &t->rows[i];
        (void)fprintf(to, "%-20s %9lld %9.3f %9lld %10.3f %6.1f%%\n", r->name,
                      (long long)r->n[PROFILE_KIND_FORWARD], r->seconds[PROFILE_KIND_FORWARD],
                      (long long)r->n[PROFILE_KIND_BACKWARD], r->seconds[PROFILE_KIND_BACKWARD],
                      percent(r->all, whole));
    }
}

static void print_others(const struct profile_tracks *tracks, enum profile_kind kind,
                         const char *title, struct table *t, FILE *to)
{
    fill(t, tracks, &kind, 1);
    if (t->n > 0) (void)fprintf(to, "%-20s %9s %9s %10s\n", title, "times", "s", "ms each");
    for (int i = 0; i < t->n; i++)
        (void)fprintf(to, "%-20s %9lld %9.3f %10.3f\n", t->rows[i].name,
                      (long long)t->rows[i].n[kind], t->rows[i].all,
                      ms_each(t->rows[i].all, t->rows[i].n[kind]));
}

static void print_tables(const struct profile_tracks *tracks, struct table *t, FILE *to)
{
    double whole = print_phases(tracks, t, to);
    print_ops(tracks, whole, t, to);
    print_others(tracks, PROFILE_KIND_PART, "part of an op", t, to);
    print_others(tracks, PROFILE_KIND_WORK, "other threads", t, to);
}

status profile_report_text(const struct profile_tracks *tracks, char **text)
{
    struct table *t = NULL;
    char *stream_text = NULL;
    size_t n = 0;
    *text = NULL;
    TRY(mem_alloc(&t, 1));
    FILE *to = open_memstream(&stream_text, &n);
    status st = to != NULL ? OK : E_NOMEM;
    if (to != NULL) {
        print_tables(tracks, t, to);
        st = fclose(to) == 0 ? mem_strdup(stream_text, text) : E_NOMEM;
    }
    if (st != OK) error_set(__FILE__, __LINE__, "out of memory for the profile's tables");
    free(stream_text);
    mem_free(t);
    return st;
}

// The trace.

static double first_begin(const struct profile_tracks *t)
{
    double first = 0;
    for (size_t i = 0; i < t->n; i++)
        for (size_t k = 0; k < t->items[i].n_spans; k++)
            if (first == 0 || t->items[i].spans[k].begin_s < first)
                first = t->items[i].spans[k].begin_s;
    return first;
}

static void write_thread(struct json_write *w, const struct profile_track *track, int64_t number)
{
    json_write_object(w, NULL);
    json_write_text(w, "name", "thread_name");
    json_write_text(w, "ph", "M");
    json_write_integer(w, "pid", 0);
    json_write_integer(w, "tid", number);
    json_write_object(w, "args");
    json_write_text(w, "name", track->name);
    json_write_end(w);
    json_write_end(w);
}

static void write_span(struct json_write *w, const struct profile_span *s, double zero_s,
                       int64_t thread)
{
    json_write_object(w, NULL);
    json_write_text(w, "name", s->name);
    json_write_text(w, "cat", profile_kind_name(s->kind));
    json_write_text(w, "ph", "X");
    json_write_digits(w, "ts", 1e6 * (s->begin_s - zero_s), 13);
    json_write_digits(w, "dur", 1e6 * s->seconds, 9);
    json_write_integer(w, "pid", 0);
    json_write_integer(w, "tid", thread);
    if (s->detail != NULL) {
        json_write_object(w, "args");
        json_write_text(w, "what", s->detail);
        json_write_end(w);
    }
    json_write_end(w);
}

static void write_trace(const struct profile_tracks *t, FILE *to)
{
    struct json_write w;
    double zero_s = first_begin(t);
    int64_t n_lost = 0;
    json_write_init(&w, to, 2);
    json_write_object(&w, NULL);
    json_write_array(&w, "traceEvents");
    for (size_t i = 0; i < t->n; i++) write_thread(&w, &t->items[i], (int64_t)i);
    for (size_t i = 0; i < t->n; i++) {
        for (size_t k = 0; k < t->items[i].n_spans; k++)
            write_span(&w, &t->items[i].spans[k], zero_s, (int64_t)i);
        n_lost += t->items[i].n_lost;
    }
    json_write_end(&w);
    json_write_text(&w, "displayTimeUnit", "ms");
    json_write_integer(&w, "spansLeftOut", n_lost);
    json_write_end(&w);
}

status profile_report_write_trace(const struct profile_tracks *t, const char *path)
{
    struct file_atomic f;
    TRY(file_atomic_open(path, &f));
    write_trace(t, f.file);
    return file_atomic_commit(&f);
}

static status report(const struct profile_tracks *t, const char *folder)
{
    char *text = NULL, *path = NULL, *rest = NULL;
    status st = OK;
    TRY_GOTO(st, profile_report_text(t, &text), out);
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        log_info("%s", line);
    if (folder == NULL) goto out;
    TRY_GOTO(st, file_make_folders(folder), out);
    TRY_GOTO(st, mem_printf(&path, "%s/trace.json", folder), out);
    TRY_GOTO(st, profile_report_write_trace(t, path), out);
    log_info("%s: opens in ui.perfetto.dev", path);
out:
    mem_free(path);
    mem_free(text);
    return st;
}

void profile_report(const char *folder)
{
    struct profile_tracks t;
    if (!profile_enabled()) return;
    status st = profile_take(&t);
    if (st == OK) st = report(&t, folder);
    if (st != OK) log_warn("the profile is lost: %s", error_text());
    profile_tracks_fini(&t);
}
