// Threads that wait for the next task.
#include "train/crew.h"

#include <stdatomic.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/profile.h"
#include "core/thread.h"

struct member {
    struct crew *crew;
    int lane;
    pthread_t thread;
    struct error failure; // of the task done last; code OK where it went well
};

struct crew {
    int n, n_threads; // threads: of lanes 1.., as far as they were started
    struct member *members;
    atomic_bool failed;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    // Under the lock:
    crew_task *task;
    void *context;
    uint64_t number; // of the task
    int n_busy;
    bool stop;
};

static void run(struct member *m, crew_task *task, void *context)
{
    status st = task(context, m->lane);
    m->failure.code = OK;
    if (st == OK) return;
    error_save(st, &m->failure);
    atomic_store(&m->crew->failed, true);
}

static void *work(void *argument)
{
    struct member *m = argument;
    struct crew *c = m->crew;
    uint64_t done = 0;
    profile_name_thread("device");
    (void)pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->stop && c->number == done) (void)pthread_cond_wait(&c->changed, &c->lock);
        if (c->stop) break;
        done = c->number;
        crew_task *task = c->task;
        void *context = c->context;
        (void)pthread_mutex_unlock(&c->lock);
        run(m, task, context);
        (void)pthread_mutex_lock(&c->lock);
        c->n_busy--;
        (void)pthread_cond_broadcast(&c->changed);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return NULL;
}

static status start_threads(struct crew *c)
{
    for (int i = 1; i < c->n; i++) {
        TRY(thread_start(&c->members[i].thread, work, &c->members[i], "a device's thread"));
        c->n_threads++;
    }
    return OK;
}

status crew_create(int n, struct crew **out)
{
    struct crew *c = NULL;
    ASSERT(n >= 1);
    TRY(mem_zalloc(&c, 1));
    c->n = n;
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->changed, NULL);
    status st = OK;
    TRY_GOTO(st, mem_zalloc(&c->members, (size_t)n), fail);
    for (int i = 0; i < n; i++) {
        c->members[i].crew = c;
        c->members[i].lane = i;
    }
    TRY_GOTO(st, start_threads(c), fail);
    *out = c;
    return OK;
fail:
    crew_destroy(c);
    return st;
}

void crew_destroy(struct crew *c)
{
    if (c == NULL) return;
    (void)pthread_mutex_lock(&c->lock);
    c->stop = true;
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->lock);
    for (int i = 1; i <= c->n_threads; i++) (void)pthread_join(c->members[i].thread, NULL);
    (void)pthread_cond_destroy(&c->changed);
    (void)pthread_mutex_destroy(&c->lock);
    mem_free(c->members);
    mem_free(c);
}

int crew_n(const struct crew *c)
{
    return c->n;
}

status crew_each(struct crew *c, crew_task *task, void *context)
{
    if (c->n == 1) return task(context, 0);
    atomic_store(&c->failed, false);
    (void)pthread_mutex_lock(&c->lock);
    c->task = task;
    c->context = context;
    c->number++;
    c->n_busy = c->n - 1;
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->lock);
    run(&c->members[0], task, context);
    (void)pthread_mutex_lock(&c->lock);
    while (c->n_busy > 0) (void)pthread_cond_wait(&c->changed, &c->lock);
    (void)pthread_mutex_unlock(&c->lock);
    for (int i = 0; i < c->n; i++)
        if (c->members[i].failure.code != OK) return error_restore(&c->members[i].failure);
    return OK;
}

bool crew_failed(const struct crew *c)
{
    return c->n > 1 && atomic_load(&c->failed);
}
