// The guard thread: no MPI here, so nothing that hangs can hold it up.
#include "comm/watchdog.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/heartbeat.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/pulse.h"
#include "core/thread.h"

enum { EXIT_LOST = 75, LINE_BYTES = 1024 };
// Who hangs shall speak before those that wait for it, and one of these before the others.
static const double grace_s = 2;

struct watchdog {
    double timeout_s, tick_s;
    struct comm *comm; // NULL before watchdog_join
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    // Under the lock:
    bool stop;
    struct heartbeat *heartbeat; // NULL while ranks do not hear of each other
    double hurry_s;              // left until the end, < 0 where none is wanted
    int hurry_code;
    void (*farewell)(void *context); // before the end; NULL: nothing
    void *context;
    // The thread's own:
    double now_s; // time that this thread has lived through: while the whole process was stopped
                  // (Ctrl-Z, a frozen job), nobody can be blamed for silence
    double moved_s;
    int64_t beats, others_beats;
};

// ---- Saying so and leaving -------------------------------------------------------------------

// Past the log, whose lock or pipe may be what hangs.
static void write_line(const char *line)
{
    struct pollfd to = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&to, 1, 1000) <= 0) return;
    ssize_t n = write(STDERR_FILENO, line, strlen(line));
    (void)n;
}

static void print_peer(const struct watchdog *w, const struct heartbeat_peer *p, char *to, size_t n)
{
    if (p->step > 0)
        (void)snprintf(to, n, "rank %d on %s, in step %lld, %s", p->rank,
                       comm_host_of(w->comm, p->rank), (long long)p->step, p->phase);
    else
        (void)snprintf(to, n, "rank %d on %s, %s", p->rank, comm_host_of(w->comm, p->rank),
                       p->phase);
}

// What limit says follows the reason.
static void say_goodbye(const struct watchdog *w, const struct pulse *p, const char *reason,
                        const char *limit)
{
    char line[LINE_BYTES], who[COMM_HOST_BYTES + 64] = "", step[48] = "";
    if (w->comm != NULL && w->comm->size > 1)
        (void)snprintf(who, sizeof who, "rank %d: ", w->comm->rank);
    if (p->step > 0) (void)snprintf(step, sizeof step, "step %lld, ", (long long)p->step);
    (void)snprintf(line, sizeof line,
                   "shoal: %serror: on %s, %s%s: %s%s; exit code %d, --resume auto goes on\n", who,
                   w->comm != NULL ? w->comm->host : "this host", step, p->phase, reason, limit,
                   EXIT_LOST);
    write_line(line);
}

// The guard's way out, under the lock.
static _Noreturn void leave_job(const struct watchdog *w, const struct pulse *p, const char *reason)
{
    char limit[64];
    (void)snprintf(limit, sizeof limit, " (comm.timeout_s %g)", w->timeout_s);
    say_goodbye(w, p, reason, limit);
    if (w->farewell != NULL) w->farewell(w->context);
    _Exit(EXIT_LOST);
}

// ---- Looking ---------------------------------------------------------------------------------

// A rank that is not heard of is lost, whatever the others do meanwhile. Rank zero speaks of the
// others, rank one of rank zero.
static void check_quiet(const struct watchdog *w, const struct pulse *p,
                        const struct heartbeat_view *v)
{
    char reason[LINE_BYTES / 2], peer[LINE_BYTES / 4];
    double limit_s = w->timeout_s + (w->comm->rank > 1 ? grace_s : 0);
    if (v->quiet.rank < 0 || v->quiet.quiet_s < limit_s) return;
    print_peer(w, &v->quiet, peer, sizeof peer);
    (void)snprintf(reason, sizeof reason, "not heard of for %.0f s: %s", v->quiet.quiet_s, peer);
    leave_job(w, p, reason);
}

static void check_still(const struct watchdog *w, const struct pulse *p,
                        const struct heartbeat_view *v)
{
    char reason[LINE_BYTES / 2], peer[LINE_BYTES / 4] = "";
    double still_s = w->now_s - w->moved_s;
    if (still_s < w->timeout_s + (p->waiting ? grace_s : 0)) return;
    if (p->waiting && v->still.rank >= 0) print_peer(w, &v->still, peer, sizeof peer);
    (void)snprintf(reason, sizeof reason, "no progress for %.0f s%s%s", still_s,
                   peer[0] != '\0' ? ", nor heard from " : "", peer);
    leave_job(w, p, reason);
}

static void look(struct watchdog *w)
{
    struct pulse p = pulse_now();
    struct heartbeat_view v = {.quiet = {.rank = -1}, .still = {.rank = -1}};
    if (w->heartbeat != NULL) heartbeat_look(w->heartbeat, w->now_s, &v);
    bool others_move = v.others_beats != w->others_beats;
    if (p.beats != w->beats || (p.waiting && others_move)) w->moved_s = w->now_s;
    w->beats = p.beats;
    w->others_beats = v.others_beats;
    if (w->hurry_s >= 0) return; // on its way out
    if (w->heartbeat != NULL) check_quiet(w, &p, &v);
    check_still(w, &p, &v);
}

static void *guard(void *argument)
{
    struct watchdog *w = argument;
    double before_s = clock_now_s();
    (void)pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        (void)thread_wait_s(&w->changed, &w->lock, w->tick_s);
        double passed_s = clock_now_s() - before_s;
        before_s += passed_s;
        if (passed_s > 4 * w->tick_s) passed_s = 4 * w->tick_s;
        w->now_s += passed_s;
        if (w->hurry_s >= 0 && (w->hurry_s -= passed_s) < 0) _Exit(w->hurry_code);
        look(w);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

// ---- For comm.c ------------------------------------------------------------------------------

status watchdog_create(double timeout_s, struct watchdog **out)
{
    struct watchdog *w = NULL;
    TRY(mem_zalloc(&w, 1));
    w->timeout_s = timeout_s;
    w->tick_s = timeout_s < 10 ? timeout_s / 20 : 0.5;
    w->hurry_s = -1;
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->changed, NULL);
    status st = thread_start(&w->thread, guard, w, "the watchdog's thread");
    w->has_thread = st == OK;
    if (st == OK)
        *out = w;
    else
        watchdog_destroy(w);
    return st;
}

status watchdog_join(struct watchdog *w, struct comm *c)
{
    double interval_s = w->timeout_s < 10 ? w->timeout_s / 10 : 1;
    double look_s = w->timeout_s < 20 ? w->timeout_s / 2 : 10;
    struct heartbeat *h = NULL;
    if (c->size > 1) TRY(heartbeat_create(c, interval_s, look_s, &h));
    (void)pthread_mutex_lock(&w->lock);
    w->comm = c;
    w->heartbeat = h;
    (void)pthread_mutex_unlock(&w->lock);
    return OK;
}

void watchdog_leave(struct watchdog *w)
{
    struct heartbeat *h = w->heartbeat;
    pulse_wait_begin();
    heartbeat_stop(h);
    (void)pthread_mutex_lock(&w->lock);
    w->heartbeat = NULL;
    (void)pthread_mutex_unlock(&w->lock);
    heartbeat_destroy(h);
    pulse_wait_end();
}

void watchdog_hurry(struct watchdog *w, double seconds, int exit_code)
{
    (void)pthread_mutex_lock(&w->lock);
    w->hurry_s = seconds;
    w->hurry_code = exit_code;
    (void)pthread_mutex_unlock(&w->lock);
}

_Noreturn void watchdog_lost(struct watchdog *w, const char *reason)
{
    static const double patience_s = 5;
    struct pulse p = pulse_now();
    watchdog_hurry(w, patience_s, EXIT_LOST);
    say_goodbye(w, &p, reason, "");
    if (w->farewell != NULL) w->farewell(w->context);
    _Exit(EXIT_LOST);
}

void watchdog_set_farewell(struct watchdog *w, void (*farewell)(void *context), void *context)
{
    (void)pthread_mutex_lock(&w->lock);
    // On the way out farewell, and what it needs, stay: who would take them away waits for the end.
    while (w->hurry_s >= 0) (void)pthread_cond_wait(&w->changed, &w->lock);
    w->farewell = farewell;
    w->context = context;
    (void)pthread_mutex_unlock(&w->lock);
}

void watchdog_destroy(struct watchdog *w)
{
    if (w == NULL) return;
    if (w->has_thread) {
        (void)pthread_mutex_lock(&w->lock);
        w->stop = true;
        (void)pthread_cond_broadcast(&w->changed);
        (void)pthread_mutex_unlock(&w->lock);
        (void)pthread_join(w->thread, NULL);
    }
    (void)pthread_cond_destroy(&w->changed);
    (void)pthread_mutex_destroy(&w->lock);
    mem_free(w);
}

struct heartbeat *watchdog_heartbeat(struct watchdog *w)
{
    return w->heartbeat;
}
