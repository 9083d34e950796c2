// The training log. Lines that a full disk refuses are kept and written before the next one, where
// the last whole line ended: the file never holds a torn line that another joins.
#include "train/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/json.h"
#include "io/json_write.h"

struct eval_mark {
    int64_t step;
    double ap, ap50;
};

struct metrics {
    int fd; // -1 while there is none
    char *path;
    uint64_t written; // bytes of the file: whole lines
    char *pending;    // lines that are not in the file yet
    size_t n_pending, pending_capacity;
    struct eval_mark *evals;
    size_t n_evals, capacity;
};

enum { LOSS_DIGITS = 9 };
// Room from the start: an evaluation's line with 80 categories has 3 KB.
enum { PENDING_BYTES = 1 << 14 };

static status note_eval(struct metrics *m, int64_t step, double ap, double ap50)
{
    TRY(mem_grow(&m->evals, &m->capacity, m->n_evals + 1));
    m->evals[m->n_evals++] = (struct eval_mark){step, ap, ap50};
    return OK;
}

// Whether the line belongs to a step up to last_step; notes an evaluation.
static status read_line(struct metrics *m, const char *line, size_t n, int64_t last_step,
                        bool *keep)
{
    struct json_document *document = NULL;
    int64_t step;
    *keep = false;
    status st = json_parse(line, n, m->path, &document);
    if (st == E_FORMAT) { // torn by a kill
        error_clear();
        return OK;
    }
    TRY(st);
    st = json_get_integer(json_root(document), "step", &step);
    const struct json *eval = json_find(json_root(document), "eval");
    double ap, ap50;
    if (st == OK && step <= last_step) {
        *keep = true;
        if (eval != NULL) st = json_get_number(eval, "AP", &ap);
        if (st == OK && eval != NULL) st = json_get_number(eval, "AP50", &ap50);
        if (st == OK && eval != NULL) st = note_eval(m, step, ap, ap50);
    }
    json_destroy(document);
    return st;
}

// Writes the lines to keep to a new file in the old one's place.
static status cut(struct metrics *m, int64_t last_step)
{
    char *text = NULL;
    size_t n;
    struct file_atomic kept = {0};
    status st = OK;
    TRY(file_read(m->path, &text, &n));
    TRY_GOTO(st, file_atomic_open(m->path, &kept), out);
    for (size_t at = 0; at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        if (end == NULL) break; // torn
        size_t length = (size_t)(end - (text + at));
        bool keep;
        TRY_GOTO(st, read_line(m, text + at, length, last_step, &keep), out);
        if (keep) (void)fwrite(text + at, 1, length + 1, kept.file);
        at += length + 1;
    }
    TRY_GOTO(st, file_atomic_commit(&kept), out);
out:
    file_atomic_abort(&kept);
    mem_free(text);
    return st;
}

static status open_file(struct metrics *m, bool empty)
{
    do m->fd = open(m->path, O_WRONLY | O_CREAT | O_CLOEXEC | (empty ? O_TRUNC : 0), 0666);
    while (m->fd < 0 && errno == EINTR);
    REQUIRE(m->fd >= 0, E_IO, "cannot write %s: %s", m->path, strerror(errno));
    return file_size(m->path, &m->written);
}

status metrics_open(const char *path, int64_t last_step, struct metrics **out)
{
    struct metrics *m = NULL;
    status st = OK;
    TRY(mem_zalloc(&m, 1));
    m->fd = -1;
    TRY_GOTO(st, mem_strdup(path, &m->path), fail);
    TRY_GOTO(st, mem_grow(&m->pending, &m->pending_capacity, PENDING_BYTES), fail);
    if (last_step > 0 && file_exists(path)) TRY_GOTO(st, cut(m, last_step), fail);
    TRY_GOTO(st, open_file(m, last_step == 0), fail);
    *out = m;
    return OK;
fail:
    metrics_close(m);
    return st;
}

void metrics_close(struct metrics *m)
{
    if (m == NULL) return;
    if (m->fd >= 0) (void)close(m->fd); // every line was written and checked
    mem_free(m->pending);
    mem_free(m->evals);
    mem_free(m->path);
    mem_free(m);
}

static status flush(struct metrics *m)
{
    for (size_t done = 0; done < m->n_pending;) {
        ssize_t got =
            pwrite(m->fd, m->pending + done, m->n_pending - done, (off_t)(m->written + done));
        if (got > 0) done += (size_t)got;
        if (got > 0 || (got < 0 && errno == EINTR)) continue;
        int reason = got < 0 ? errno : ENOSPC;
        (void)!ftruncate(m->fd,
                         (off_t)m->written); // where even this fails, the next line goes over it
        FAIL(E_IO, "%s: cannot write: %s", m->path, strerror(reason));
    }
    m->written += m->n_pending;
    m->n_pending = 0;
    return OK;
}

// A line in memory, for json_write.
struct line {
    FILE *file;
    char *text;
    size_t n;
};

static status line_begin(struct line *l, struct json_write *w)
{
    *l = (struct line){0};
    l->file = open_memstream(&l->text, &l->n);
    REQUIRE(l->file != NULL, E_NOMEM, "out of memory writing the training log");
    json_write_init(w, l->file, 0);
    json_write_object(w, NULL);
    return OK;
}

static status add(struct metrics *m, const struct line *l)
{
    status st = mem_grow(&m->pending, &m->pending_capacity, m->n_pending + l->n);
    if (st != OK) error_prefix("%s loses a line", m->path);
    TRY(st);
    memcpy(m->pending + m->n_pending, l->text, l->n);
    m->n_pending += l->n;
    return flush(m);
}

static status line_end(struct line *l, struct json_write *w, struct metrics *m)
{
    json_write_end(w);
    bool whole = fclose(l->file) == 0;
    status st = E_NOMEM;
    if (whole)
        st = add(m, l);
    else
        error_set(__FILE__, __LINE__, "out of memory writing the training log");
    free(l->text);
    return st;
}

status metrics_add_step(struct metrics *m, const struct metrics_step *s)
{
    struct json_write w;
    struct line l;
    TRY(line_begin(&l, &w));
    json_write_integer(&w, "step", s->step);
    json_write_integer(&w, "epoch", s->epoch);
    json_write_digits(&w, "lr", s->lr, LOSS_DIGITS);
    json_write_digits(&w, "loss", s->loss, LOSS_DIGITS);
    for (int i = 0; i < s->n; i++) json_write_digits(&w, s->name[i], s->value[i], LOSS_DIGITS);
    json_write_digits(&w, "images_per_s", s->images_per_s, 6);
    json_write_digits(&w, "data_wait_s", s->data_wait_s, 6);
    json_write_digits(&w, "compute_s", s->compute_s, 6);
    json_write_digits(&w, "comm_exposed_s", s->comm_exposed_s, 6);
    json_write_digits(&w, "step_s", s->step_s, 6);
    json_write_digits(&w, "rss_mib", s->rss_mib, 6);
    return line_end(&l, &w, m);
}

status metrics_add_eval(struct metrics *m, int64_t step, int64_t epoch, const struct coco_eval *e)
{
    struct json_write w;
    struct line l;
    TRY(note_eval(m, step, e->stats[0], e->stats[1])); // even if its line has to wait
    TRY(line_begin(&l, &w));
    json_write_integer(&w, "step", step);
    json_write_integer(&w, "epoch", epoch);
    json_write_object(&w, "eval");
    for (int i = 0; i < COCO_EVAL_N_STATS; i++)
        json_write_number(&w, coco_eval_stat_name(i), e->stats[i]);
    json_write_end(&w);
    json_write_object(&w, "per_category");
    for (int i = 0; i < e->n_categories; i++)
        json_write_number(&w, e->categories[i].name, e->categories[i].ap);
    json_write_end(&w);
    return line_end(&l, &w, m);
}

status metrics_sync(struct metrics *m)
{
    TRY(flush(m));
    int result;
    do result = fsync(m->fd);
    while (result != 0 && errno == EINTR);
    REQUIRE(result == 0, E_IO, "cannot sync %s: %s", m->path, strerror(errno));
    return OK;
}

bool metrics_eval(const struct metrics *m, int64_t step, double *ap, double *ap50)
{
    for (size_t i = 0; i < m->n_evals; i++) {
        if (m->evals[i].step != step) continue;
        if (ap != NULL) *ap = m->evals[i].ap;
        if (ap50 != NULL) *ap50 = m->evals[i].ap50;
        return true;
    }
    return false;
}

bool metrics_best(const struct metrics *m, int64_t *step, double *ap)
{
    for (size_t i = 0; i < m->n_evals; i++) {
        if (i > 0 && !(m->evals[i].ap > *ap)) continue;
        *step = m->evals[i].step;
        *ap = m->evals[i].ap;
    }
    return m->n_evals > 0;
}

double metrics_rss_mib(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%ld %ld", &pages, &resident) != 2) resident = 0;
    (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / (1024.0 * 1024.0);
}
