// The loader's threads. A ring holds the next `prefetch` micro-batches by their number. A thread
// takes the oldest work there is: planning a batch (reading its records) or decoding one of its
// images. Everything that is shared changes under one lock; the work itself runs outside it.
#include "io/loader.h"

#include <stdio.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/profile.h"
#include "core/thread.h"
#include "io/loader_internal.h"

struct loader {
    struct loader_setup setup;
    struct order *order;
    int64_t steps_per_epoch; // training
    int64_t per_worker; // training: images of a step for this worker; evaluation: all its images
    int64_t n_jobs;     // evaluation; training has no end
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    bool stop;
    int64_t head; // number of the batch to hand over next
    int n_slots;
    struct loader_job *slots; // batch `number` lives in slot number % n_slots
    struct loader_counts counts;
    int n_threads;
    pthread_t *threads;
};

// ---- Which images a batch holds ---------------------------------------------------------------

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

// The images of batch `number`: j-th to (j + n)-th of this worker in its step, or of all in
// evaluation.
static void choose_images(struct loader *l, int64_t number, struct loader_job *job)
{
    const struct loader_params *p = &l->setup.params;
    int64_t parts = divide_up(l->per_worker, p->micro_batch);
    int64_t step = p->training ? p->first_step + number / parts : 0;
    int64_t from = (p->training ? number % parts : number) * p->micro_batch;
    int64_t left = l->per_worker - from;
    job->n = (int)(left < p->micro_batch ? left : p->micro_batch);
    job->epoch = p->training ? (uint64_t)(step / l->steps_per_epoch) : 0;
    int64_t base = p->training ? step % l->steps_per_epoch * p->batch : 0;
    for (int i = 0; i < job->n; i++) {
        int64_t position = base + (from + i) * p->n_workers + p->worker;
        job->positions[i] = position;
        job->items[i].place = p->training ? order_training(l->order, job->epoch, (uint64_t)position)
                                          : order_evaluation(l->order, (uint64_t)position);
    }
}

// ---- Threads ----------------------------------------------------------------------------------

struct task {
    struct loader_job *job;
    int image; // -1: plan
};

static bool find_task(struct loader *l, struct task *task)
{
    for (int64_t number = l->head; number < l->head + l->n_slots && number < l->n_jobs; number++) {
        struct loader_job *job = &l->slots[number % l->n_slots];
        if (job->state == LOADER_STATE_WAITING) {
            choose_images(l, number, job);
            job->state = LOADER_STATE_PLANNING;
            *task = (struct task){job, -1};
            return true;
        }
        if (job->state == LOADER_STATE_DECODING && job->n_claimed < job->n) {
            *task = (struct task){job, job->n_claimed++};
            return true;
        }
    }
    return false;
}

static status run_task(const struct loader *l, const struct task *task)
{
    double begin = profile_begin();
    bool plan = task->image < 0;
    status st = plan ? loader_job_plan(&l->setup, task->job)
                     : loader_job_decode(&l->setup, task->job, task->image);
    profile_end(begin, PROFILE_KIND_WORK, plan ? "read records" : "decode, resize", NULL);
    return st;
}

// Of several failures the one of the first image is told, whoever came first.
static void finish_task(struct loader *l, const struct task *task, status st)
{
    struct loader_job *job = task->job;
    if (st != OK && (task->image < job->failed)) {
        job->failed = task->image;
        error_save(st, &job->error);
    }
    if (task->image < 0)
        job->state = st == OK ? LOADER_STATE_DECODING : LOADER_STATE_DONE;
    else if (++job->n_finished == job->n)
        job->state = LOADER_STATE_DONE;
    if (job->state == LOADER_STATE_DONE)
        pthread_cond_broadcast(&l->done);
    else if (task->image < 0)
        pthread_cond_broadcast(&l->work);
}

static void *thread_main(void *context)
{
    struct loader *l = context;
    profile_name_thread("loader");
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        struct task task;
        if (!find_task(l, &task)) {
            pthread_cond_wait(&l->work, &l->lock);
            continue;
        }
        pthread_mutex_unlock(&l->lock);
        status st = run_task(l, &task);
        pthread_mutex_lock(&l->lock);
        finish_task(l, &task, st);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static status start_threads(struct loader *l, int n)
{
    TRY(mem_alloc(&l->threads, (size_t)n));
    for (; l->n_threads < n; l->n_threads++)
        TRY(thread_start(&l->threads[l->n_threads], thread_main, l, "a decoding thread"));
    return OK;
}

// ---- Creation ---------------------------------------------------------------------------------

static uint64_t n_images_of(const struct dataset *d, bool usable_only)
{
    return usable_only ? dataset_n_usable(d) : dataset_n_images(d);
}

status loader_steps_per_epoch(const struct dataset *d, bool drop_empty, int batch, int64_t *steps)
{
    uint64_t n = n_images_of(d, drop_empty);
    REQUIRE(n >= (uint64_t)batch, E_ARG,
            "train.batch=%d needs as many images, the data set has %llu%s", batch,
            (unsigned long long)n, drop_empty ? " with boxes (data.drop_empty=true)" : "");
    *steps = (int64_t)(n / (uint64_t)batch);
    return OK;
}

// "a and b", or one of them where the other is the same or none.
static const char *either(int a, int b, char text[32])
{
    if (a == b || a < 1)
        (void)snprintf(text, 32, "%d", b);
    else
        (void)snprintf(text, 32, "%d and %d", a, b);
    return text;
}

static status check_workers(int batch, int n_workers)
{
    int below = batch / n_workers * n_workers, fewer = n_workers, more = n_workers;
    char batches[32], workers[32];
    if (below == batch) return OK;
    while (batch % fewer != 0) fewer--;
    while (more < batch && batch % more != 0) more++;
    if (more > batch) more = batch;
    FAIL(E_ARG,
         "train.batch=%d is no multiple of the %d workers: the nearest batches are %s, the nearest "
         "numbers of workers %s",
         batch, n_workers, either(below, below + n_workers, batches), either(fewer, more, workers));
}

static status make_order(struct loader *l)
{
    const struct loader_params *p = &l->setup.params;
    int n_shards = dataset_n_shards(p->dataset);
    uint64_t *n = NULL;
    TRY(mem_alloc(&n, (size_t)n_shards));
    for (int s = 0; s < n_shards; s++) {
        const struct shard *shard = dataset_shard(p->dataset, s);
        n[s] = p->training && p->drop_empty ? shard->n_usable : shard->n_records;
    }
    status st = order_create(n, n_shards, p->seed, &l->order);
    mem_free(n);
    return st;
}

static status lay_out_work(struct loader *l)
{
    const struct loader_params *p = &l->setup.params;
    TRY(make_order(l));
    if (p->training) {
        TRY(check_workers(p->batch, p->n_workers));
        TRY(loader_steps_per_epoch(p->dataset, p->drop_empty, p->batch, &l->steps_per_epoch));
        l->per_worker = p->batch / p->n_workers;
        l->n_jobs = INT64_MAX / 2;
        return OK;
    }
    int64_t n = (int64_t)order_n(l->order) - p->worker;
    l->per_worker = n > 0 ? divide_up(n, p->n_workers) : 0;
    l->n_jobs = divide_up(l->per_worker, p->micro_batch);
    return OK;
}

static status make_slots(struct loader *l)
{
    const struct loader_params *p = &l->setup.params;
    int n = p->prefetch < 1 ? 1 : p->prefetch;
    TRY(mem_zalloc(&l->slots, (size_t)n));
    l->n_slots = n;
    for (int i = 0; i < n; i++) {
        loader_job_reset(&l->slots[i]);
        TRY(mem_zalloc(&l->slots[i].items, (size_t)p->micro_batch));
        TRY(mem_zalloc(&l->slots[i].positions, (size_t)p->micro_batch));
    }
    // A batch being used beside those in the ring, with two canvases each as a rule.
    return recycler_create(2 * (n + 1), &l->setup.pool);
}

static status fill(struct loader *l, const struct loader_params *p)
{
    l->setup.params = *p;
    l->setup.input = *p->input;
    l->setup.params.input = &l->setup.input;
    transform_init(&l->setup.input, &l->setup.transform);
    TRY(lay_out_work(l));
    TRY(make_slots(l));
    return start_threads(l, p->workers < 1 ? 1 : p->workers);
}

status loader_create(const struct loader_params *p, struct loader **out)
{
    ASSERT(p->micro_batch >= 1 && p->n_workers >= 1 && p->worker >= 0 && p->worker < p->n_workers);
    ASSERT(!p->training || p->batch >= 1);
    struct loader *l = NULL;
    *out = NULL;
    TRY(mem_zalloc(&l, 1));
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->work, NULL);
    (void)pthread_cond_init(&l->done, NULL);
    status st = fill(l, p);
    if (st == OK)
        *out = l;
    else
        loader_destroy(l);
    return st;
}

void loader_destroy(struct loader *l)
{
    if (l == NULL) return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->n_threads; i++) (void)pthread_join(l->threads[i], NULL);
    for (int i = 0; i < l->n_slots; i++) {
        loader_job_reset(&l->slots[i]);
        mem_free(l->slots[i].positions);
        mem_free(l->slots[i].items);
    }
    mem_free(l->threads);
    mem_free(l->slots);
    recycler_release(l->setup.pool);
    order_destroy(l->order);
    pthread_cond_destroy(&l->done);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->lock);
    mem_free(l);
}

// ---- Handing over -----------------------------------------------------------------------------

static void add_counts(struct loader_counts *to, const struct loader_counts *more)
{
    to->crowds += more->crowds;
    to->empty_boxes += more->empty_boxes;
    to->clipped_boxes += more->clipped_boxes;
    to->own_canvas += more->own_canvas;
}

// A failed batch stays where it is, so that asking again fails again.
static status hand_over(struct loader *l, struct loader_job *job, struct batch **out)
{
    while (job->state != LOADER_STATE_DONE) pthread_cond_wait(&l->done, &l->lock);
    if (job->error.code != OK) return error_restore(&job->error);
    add_counts(&l->counts, &job->counts);
    *out = job->batch;
    job->batch = NULL;
    loader_job_reset(job);
    l->head++;
    pthread_cond_broadcast(&l->work);
    return OK;
}

status loader_next(struct loader *l, struct batch **out, double *wait_s)
{
    double begin = clock_now_s();
    *out = NULL;
    pthread_mutex_lock(&l->lock);
    status st = l->head == l->n_jobs ? E_END : hand_over(l, &l->slots[l->head % l->n_slots], out);
    pthread_mutex_unlock(&l->lock);
    if (wait_s != NULL) *wait_s += clock_now_s() - begin;
    return st;
}

void loader_counts(const struct loader *l, struct loader_counts *out)
{
    *out = l->counts; // changed by loader_next alone, which the caller's own thread calls
}
