// Spans by thread. A thread writes to its own track under that track's own lock, which nobody else
// takes but profile_take.
#include "core/profile.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"

enum { MAX_SPANS = 1 << 18 }; // a track: 12 MiB, some 500 steps of ResNet-50

struct owner {
    pthread_mutex_t lock;
    struct profile_track track;
    size_t capacity;
    struct owner *next;
};

static bool is_on;
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct owner *first, **last = &first; // live until the program ends: threads come and go
static _Thread_local struct owner *own;

const char *profile_kind_name(enum profile_kind k)
{
    static const char *const names[PROFILE_N_KINDS] = {"phase", "forward", "backward", "part",
                                                       "work"};
    return names[k];
}

void profile_init(void)
{
    const char *wanted = getenv("SHOAL_PROFILE");
    is_on = wanted != NULL && strcmp(wanted, "1") == 0;
}

void profile_set(bool on)
{
    is_on = on;
}

bool profile_enabled(void)
{
    return is_on;
}

// The calling thread's track; NULL where memory ran out, which no run should fail for.
static struct owner *own_track(void)
{
    struct owner *o = own;
    if (o != NULL) return o;
    if (mem_zalloc(&o, 1) != OK) {
        error_clear();
        return NULL;
    }
    (void)pthread_mutex_init(&o->lock, NULL);
    o->track.name = "main";
    (void)pthread_mutex_lock(&list_lock);
    *last = o;
    last = &o->next;
    (void)pthread_mutex_unlock(&list_lock);
    own = o;
    return o;
}

void profile_name_thread(const char *name)
{
    struct owner *o = is_on ? own_track() : NULL;
    if (o == NULL) return;
    (void)pthread_mutex_lock(&o->lock);
    o->track.name = name;
    (void)pthread_mutex_unlock(&o->lock);
}

double profile_begin(void)
{
    return is_on ? clock_now_s() : 0;
}

// Names are literals, but two files may each have their own copy of one.
static bool same_name(const char *a, const char *b)
{
    return a == b || strcmp(a, b) == 0;
}

static void add_total(struct profile_track *t, const struct profile_span *s)
{
    int i = 0;
    while (i < t->n_totals &&
           (t->totals[i].kind != s->kind || !same_name(t->totals[i].name, s->name)))
        i++;
    if (i == PROFILE_MAX_TOTALS) return;
    if (i == t->n_totals)
        t->totals[t->n_totals++] = (struct profile_total){.kind = s->kind, .name = s->name};
    t->totals[i].n++;
    t->totals[i].seconds += s->seconds;
}

static void add_span(struct owner *o, const struct profile_span *s)
{
    struct profile_track *t = &o->track;
    add_total(t, s);
    if (t->n_spans >= MAX_SPANS) {
        t->n_lost++;
    } else if (mem_grow(&t->spans, &o->capacity, t->n_spans + 1) != OK) {
        error_clear();
        t->n_lost++;
    } else {
        t->spans[t->n_spans++] = *s;
    }
}

void profile_end(double begin_s, enum profile_kind kind, const char *name, const char *detail)
{
    struct owner *o = begin_s > 0 && is_on ? own_track() : NULL;
    if (o == NULL) return;
    struct profile_span s = {.begin_s = begin_s,
                             .seconds = clock_now_s() - begin_s,
                             .name = name,
                             .detail = detail,
                             .kind = kind};
    (void)pthread_mutex_lock(&o->lock);
    add_span(o, &s);
    (void)pthread_mutex_unlock(&o->lock);
}

// Takes every owner's track out; there is room for them all.
static void take_tracks(struct profile_tracks *out)
{
    for (struct owner *o = first; o != NULL; o = o->next) {
        (void)pthread_mutex_lock(&o->lock);
        if (o->track.n_totals > 0) out->items[out->n++] = o->track;
        o->track = (struct profile_track){.name = o->track.name};
        o->capacity = 0;
        (void)pthread_mutex_unlock(&o->lock);
    }
}

status profile_take(struct profile_tracks *out)
{
    size_t n = 0;
    *out = (struct profile_tracks){0};
    (void)pthread_mutex_lock(&list_lock);
    for (const struct owner *o = first; o != NULL; o = o->next) n++;
    status st = mem_alloc(&out->items, n);
    if (st == OK) take_tracks(out);
    (void)pthread_mutex_unlock(&list_lock);
    return st;
}

void profile_tracks_fini(struct profile_tracks *t)
{
    for (size_t i = 0; i < t->n; i++) mem_free(t->items[i].spans);
    mem_free(t->items);
    *t = (struct profile_tracks){0};
}

double profile_tracks_seconds(const struct profile_tracks *t, enum profile_kind kind,
                              const char *name, int64_t *n)
{
    double seconds = 0;
    if (n != NULL) *n = 0;
    for (size_t i = 0; i < t->n; i++) {
        for (int k = 0; k < t->items[i].n_totals; k++) {
            const struct profile_total *total = &t->items[i].totals[k];
            if (total->kind != kind || !same_name(total->name, name)) continue;
            seconds += total->seconds;
            if (n != NULL) *n += total->n;
        }
    }
    return seconds;
}
