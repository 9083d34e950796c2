// The thread that sends and receives, and the table of what it heard. It alone calls MPI, and never
// while it holds the lock: who reads the table must not be held up.
#include "comm/heartbeat.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "comm/straggler.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/pulse.h"
#include "core/thread.h"

// What travels. Ranks of one job share one build (comm_agree): plain structs will do; the mark
// serves until that has been checked.
struct note {
    uint32_t mark;
    bool good_bye, raised, waiting;
    int64_t beats, step, n_steps;
    double own_s, data_wait_s;
    char phase[COMM_PHASE_BYTES];
    // Rank zero's alone:
    int64_t all_beats;
    struct heartbeat_peer still;
};
_Static_assert(sizeof(struct note) <= COMM_NOTE_BYTES, "a note fits into comm's notes");

static const uint32_t note_mark = 0x53484231; // "SHB1"

struct peer {
    struct note last;
    int64_t n_heard;
    // heartbeat_look's:
    bool seen;
    int64_t seen_heard, seen_beats;
    double heard_s, moved_s;
};

struct heartbeat {
    struct comm *comm;
    double interval_s, look_s;
    // Rank zero listens to all and keeps itself as peer 0, others listen to rank zero.
    int first, n_peers;
    struct straggler *straggler; // rank zero's
    _Atomic bool raised;         // anywhere
    _Atomic bool raised_here;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    // Under the lock:
    bool stop;
    struct peer *peers;
    struct heartbeat_peer still;
};

// ---- The thread ------------------------------------------------------------------------------

static struct note own_note(const struct heartbeat *h)
{
    struct pulse p = pulse_now();
    struct note n = {.mark = note_mark,
                     .raised = atomic_load(&h->raised_here),
                     .waiting = p.waiting,
                     .beats = p.beats,
                     .step = p.step,
                     .n_steps = p.n_steps,
                     .own_s = p.own_s,
                     .data_wait_s = p.data_wait_s};
    (void)snprintf(n.phase, sizeof n.phase, "%s", p.phase);
    return n;
}

static void keep(struct heartbeat *h, int from, const struct note *n)
{
    if (n->mark != note_mark || from >= h->n_peers) return;
    struct peer *p = &h->peers[from];
    (void)pthread_mutex_lock(&h->lock);
    p->last = *n;
    p->n_heard++;
    (void)pthread_mutex_unlock(&h->lock);
    if (n->raised) atomic_store(&h->raised, true);
}

static status receive(struct heartbeat *h)
{
    for (;;) {
        char bytes[COMM_NOTE_BYTES];
        struct note n;
        int from;
        TRY(h->comm->ops->poll(h->comm, bytes, &from));
        if (from < 0) return OK;
        memcpy(&n, bytes, sizeof n);
        keep(h, from, &n);
    }
}

// false where the last one is still under way: the next beat will do.
static status post(struct heartbeat *h, int to, const struct note *n, bool *posted)
{
    char bytes[COMM_NOTE_BYTES] = {0};
    memcpy(bytes, n, sizeof *n);
    return h->comm->ops->post(h->comm, to, bytes, posted);
}

static status send_to_all(struct heartbeat *h, const struct note *n)
{
    bool posted;
    if (h->comm->rank != 0) return post(h, 0, n, &posted);
    for (int to = 1; to < h->comm->size; to++) TRY(post(h, to, n, &posted));
    return OK;
}

static struct note answer(struct heartbeat *h)
{
    struct note n = own_note(h);
    if (h->comm->rank != 0) return n;
    n.raised = atomic_load(&h->raised);
    n.all_beats = n.beats;
    (void)pthread_mutex_lock(&h->lock);
    h->peers[0].last = n;
    for (int i = 1; i < h->n_peers; i++) n.all_beats += h->peers[i].last.beats;
    n.still = h->still;
    (void)pthread_mutex_unlock(&h->lock);
    return n;
}

// Rank zero: the table's steps go to the one who looks for a slow rank.
static void look_for_straggler(struct heartbeat *h)
{
    if (h->straggler == NULL || !straggler_due(h->straggler, clock_now_s())) return;
    (void)pthread_mutex_lock(&h->lock);
    for (int i = 0; i < h->n_peers; i++) {
        const struct note *n = &h->peers[i].last;
        straggler_note(h->straggler, i, n->n_steps, n->own_s, n->data_wait_s);
    }
    (void)pthread_mutex_unlock(&h->lock);
    char text[STRAGGLER_TEXT_BYTES];
    int rank = straggler_find(h->straggler, text);
    if (rank >= 0) log_warn("rank %d on %s %s", rank, comm_host_of(h->comm, rank), text);
}

// Until the next beat; false where there is to be none.
static bool wait_for_beat(struct heartbeat *h)
{
    (void)pthread_mutex_lock(&h->lock);
    if (!h->stop) (void)thread_wait_s(&h->changed, &h->lock, h->interval_s);
    bool goes_on = !h->stop;
    (void)pthread_mutex_unlock(&h->lock);
    return goes_on;
}

static bool all_said_good_bye(struct heartbeat *h)
{
    bool all = true;
    (void)pthread_mutex_lock(&h->lock);
    for (int i = h->first; i < h->n_peers; i++) all = all && h->peers[i].last.good_bye;
    (void)pthread_mutex_unlock(&h->lock);
    return all;
}

// Messages do not overtake each other: after a good-bye nothing of that rank is under way.
static status say_good_bye(struct heartbeat *h)
{
    static const struct timespec nap = {.tv_nsec = 1000 * 1000};
    struct note n = answer(h);
    n.good_bye = true;
    int last = h->comm->rank == 0 ? h->comm->size - 1 : 0;
    for (int to = h->first; to <= last; to++) {
        for (bool posted = false; !posted; (void)nanosleep(&nap, NULL)) {
            TRY(post(h, to, &n, &posted));
            TRY(receive(h));
        }
    }
    while (!all_said_good_bye(h)) {
        TRY(receive(h));
        (void)nanosleep(&nap, NULL);
    }
    return OK;
}

static void *beat(void *argument)
{
    struct heartbeat *h = argument;
    status st;
    do {
        st = receive(h);
        struct note n = answer(h);
        if (st == OK) st = send_to_all(h, &n);
        look_for_straggler(h);
    } while (st == OK && wait_for_beat(h));
    // What fails here, fails in the collectives too, and silence is noticed.
    if (st == OK) st = say_good_bye(h);
    if (st != OK) log_warn("heartbeats end: %s", error_text());
    return NULL;
}

// ---- For the watchdog and comm.c -------------------------------------------------------------

status heartbeat_create(struct comm *c, double interval_s, double look_s, struct heartbeat **out)
{
    struct heartbeat *h = NULL;
    status st = OK;
    TRY(mem_zalloc(&h, 1));
    h->comm = c;
    h->interval_s = interval_s;
    h->look_s = look_s;
    h->first = c->rank == 0 ? 1 : 0;
    h->n_peers = c->rank == 0 ? c->size : 1;
    h->still.rank = -1;
    (void)pthread_mutex_init(&h->lock, NULL);
    (void)pthread_cond_init(&h->changed, NULL);
    TRY_GOTO(st, mem_zalloc(&h->peers, (size_t)h->n_peers), fail);
    if (c->rank == 0)
        TRY_GOTO(st, straggler_create(c->size, look_s, clock_now_s(), &h->straggler), fail);
    TRY_GOTO(st, thread_start(&h->thread, beat, h, "the heartbeats' thread"), fail);
    h->has_thread = true;
    *out = h;
    return OK;
fail:
    heartbeat_destroy(h);
    return st;
}

void heartbeat_stop(struct heartbeat *h)
{
    if (h == NULL || !h->has_thread) return;
    (void)pthread_mutex_lock(&h->lock);
    h->stop = true;
    (void)pthread_cond_broadcast(&h->changed);
    (void)pthread_mutex_unlock(&h->lock);
    (void)pthread_join(h->thread, NULL);
    h->has_thread = false;
}

void heartbeat_destroy(struct heartbeat *h)
{
    if (h == NULL) return;
    ASSERT(!h->has_thread);
    straggler_destroy(h->straggler);
    (void)pthread_cond_destroy(&h->changed);
    (void)pthread_mutex_destroy(&h->lock);
    mem_free(h->peers);
    mem_free(h);
}

void heartbeat_raise(struct heartbeat *h)
{
    if (h == NULL) return;
    atomic_store(&h->raised_here, true);
    atomic_store(&h->raised, true);
}

bool heartbeat_raised(const struct heartbeat *h)
{
    return h != NULL && atomic_load(&h->raised);
}

static struct heartbeat_peer describe(const struct peer *p, int rank, double now_s)
{
    struct heartbeat_peer d = {.rank = rank,
                               .step = p->last.step,
                               .waiting = p->last.waiting,
                               .quiet_s = now_s - p->heard_s,
                               .still_s = now_s - p->moved_s};
    (void)snprintf(d.phase, sizeof d.phase, "%s", p->n_heard > 0 ? p->last.phase : "starting");
    return d;
}

static void stamp(struct peer *p, double now_s, bool is_self)
{
    if (!p->seen || is_self || p->n_heard != p->seen_heard) p->heard_s = now_s;
    if (!p->seen || p->last.beats != p->seen_beats) p->moved_s = now_s;
    p->seen = true;
    p->seen_heard = p->n_heard;
    p->seen_beats = p->last.beats;
}

// Whether a is to be named rather than b: one that is silent, then one that stands still although
// it waits for nobody.
static bool is_worse(const struct heartbeat_peer *a, const struct heartbeat_peer *b,
                     double silence_s)
{
    bool silent = a->quiet_s > silence_s;
    if (!silent && (a->waiting || a->still_s < silence_s)) return false;
    if (b->rank < 0) return true;
    bool b_silent = b->quiet_s > silence_s;
    if (silent != b_silent) return silent;
    return silent ? a->quiet_s > b->quiet_s : a->still_s > b->still_s;
}

static void look_at_all(struct heartbeat *h, double now_s, struct heartbeat_view *out)
{
    const double silence_s = 3 * h->interval_s;
    struct heartbeat_peer still = {.rank = -1};
    for (int i = 0; i < h->n_peers; i++) {
        struct peer *p = &h->peers[i];
        bool is_self = i < h->first;
        stamp(p, now_s, is_self);
        if (p->last.good_bye) continue;
        struct heartbeat_peer d = describe(p, i, now_s);
        if (!is_self) out->others_beats += p->last.beats;
        if (!is_self && (out->quiet.rank < 0 || d.quiet_s > out->quiet.quiet_s)) out->quiet = d;
        if (is_worse(&d, &still, silence_s)) still = d;
    }
    out->still = still;
}

void heartbeat_look(struct heartbeat *h, double now_s, struct heartbeat_view *out)
{
    *out = (struct heartbeat_view){.quiet = {.rank = -1}, .still = {.rank = -1}};
    (void)pthread_mutex_lock(&h->lock);
    look_at_all(h, now_s, out);
    if (h->comm->rank == 0) {
        h->still = out->still;
    } else if (out->still.rank < 0 && h->peers[0].n_heard > 0) { // rank zero knows of more
        out->still = h->peers[0].last.still;
        if (out->still.rank == h->comm->rank) out->still.rank = -1;
    }
    if (h->comm->rank != 0) out->others_beats = h->peers[0].last.all_beats;
    (void)pthread_mutex_unlock(&h->lock);
}
