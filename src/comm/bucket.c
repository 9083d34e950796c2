// Which slices a bucket holds, and when it is complete.
#include "comm/bucket_internal.h"

#include <stdio.h>

#include "core/clock.h"
#include "core/mem.h"

static const double first_bucket_mib = 1.0, mib_bytes = 1024 * 1024;
// Of what is left, so that the last ones, for which the walk's end is waited, are small.
static const double largest_share = 0.25;

double buckets_limit_mib(double bucket_mib, int n_before, double left_mib)
{
    double limit = n_before == 0 ? 0 : left_mib * largest_share;
    if (limit < first_bucket_mib) limit = first_bucket_mib;
    return n_before > 0 && limit > bucket_mib ? bucket_mib : limit;
}

static void assign(struct buckets *b, double bucket_mib, const struct bucket_slice *slices)
{
    double left = 0, limit = 0, filled = 0; // MiB
    for (int i = 0; i < b->n_slices; i++)
        left += (double)slices[i].count * sizeof(float) / mib_bytes;
    b->n = 0;
    for (int i = 0; i < b->n_slices; i++) {
        if (b->n == 0 || filled >= limit) {
            left -= filled;
            filled = 0;
            limit = buckets_limit_mib(bucket_mib, b->n, left);
            b->all[b->n++] = (struct bucket){.offset = slices[i].offset};
        }
        struct bucket *open = &b->all[b->n - 1];
        filled += (double)slices[i].count * sizeof(float) / mib_bytes;
        open->count += slices[i].count;
        open->n_slices++;
        b->of_slice[i] = b->n - 1;
    }
}

static status make_seats(struct buckets *b)
{
    TRY(mem_zalloc(&b->seats, (size_t)b->n_lanes));
    for (int i = 0; i < b->n_lanes; i++) {
        TRY(mem_zalloc(&b->seats[i].pending, (size_t)b->n));
        TRY(mem_zalloc(&b->seats[i].slice_ready, (size_t)b->n_slices));
    }
    return OK;
}

// A single worker has nobody to sum with.
static status start(struct buckets *b, bool on_gpu)
{
    if (comm_size(b->comm) * b->n_lanes == 1) return OK;
    return on_gpu ? bucket_nccl_start(b) : bucket_host_start(b);
}

status buckets_create(const struct buckets_params *p, struct buckets **out)
{
    struct buckets *b = NULL;
    TRY(mem_zalloc(&b, 1));
    b->comm = p->comm;
    b->bf16 = p->wire == CONFIG_WIRE_BF16;
    b->n_slices = p->n_slices;
    b->n_lanes = p->n_lanes > 0 ? p->n_lanes : 1;
    (void)pthread_mutex_init(&b->host.lock, NULL);
    (void)pthread_cond_init(&b->host.changed, NULL);
    status st = OK;
    TRY_GOTO(st, mem_zalloc(&b->all, (size_t)p->n_slices), fail);
    TRY_GOTO(st, mem_zalloc(&b->of_slice, (size_t)p->n_slices), fail);
    assign(b, p->bucket_mib, p->slices);
    TRY_GOTO(st, make_seats(b), fail);
    TRY_GOTO(st, start(b, p->on_gpu), fail);
    *out = b;
    return OK;
fail:
    buckets_destroy(b);
    return st;
}

void buckets_destroy(struct buckets *b)
{
    if (b == NULL) return;
    bucket_host_stop(b);
    bucket_nccl_stop(b);
    (void)pthread_cond_destroy(&b->host.changed);
    (void)pthread_mutex_destroy(&b->host.lock);
    for (int i = 0; b->seats != NULL && i < b->n_lanes; i++) {
        mem_free(b->seats[i].slice_ready);
        mem_free(b->seats[i].pending);
    }
    mem_free(b->seats);
    mem_free(b->of_slice);
    mem_free(b->all);
    mem_free(b);
}

status buckets_meet(struct buckets *b)
{
    return b->gpu != NULL ? bucket_nccl_meet(b) : OK;
}

status buckets_join(struct buckets *b, int i, const struct bucket_lane *lane)
{
    ASSERT(i >= 0 && i < b->n_lanes && !b->seats[i].joined);
    b->seats[i].lane = *lane;
    b->seats[i].joined = true;
    return b->gpu != NULL ? bucket_nccl_join(b, i) : OK;
}

void buckets_leave(struct buckets *b, int i)
{
    if (b != NULL && b->gpu != NULL) bucket_nccl_leave(b, i);
}

int buckets_n(const struct buckets *b)
{
    return b->n;
}

int buckets_of_slice(const struct buckets *b, int slice)
{
    ASSERT(slice >= 0 && slice < b->n_slices);
    return b->of_slice[slice];
}

void buckets_describe(const struct buckets *b, char *text, size_t bytes)
{
    char nccl[COMM_HOST_BYTES] = "";
    bool sums = b->gpu != NULL || comm_size(b->comm) > 1;
    if (b->gpu != NULL) bucket_nccl_describe(b, nccl, sizeof nccl);
    (void)snprintf(text, bytes, "%s%s (%.150s)%s", nccl, comm_backend_name(b->comm),
                   comm_version(b->comm), sums && b->bf16 ? ", wire bf16" : "");
}

void buckets_begin(struct buckets *b, int lane)
{
    struct bucket_seat *s = &b->seats[lane];
    ASSERT(s->joined && (s->goal == 0 || s->next == b->n));
    for (int i = 0; i < b->n; i++) s->pending[i] = b->all[i].n_slices;
    for (int i = 0; i < b->n_slices; i++) s->slice_ready[i] = false;
    s->next = s->n_closed = 0;
    s->goal += b->n;
}

static status launch_complete(struct buckets *b, int lane)
{
    struct bucket_seat *s = &b->seats[lane];
    int before = s->next;
    for (; s->next < b->n && s->pending[s->next] == 0; s->next++)
        if (b->gpu != NULL) TRY(bucket_nccl_launch(b, lane, &b->all[s->next]));
    if (b->host.runs && s->next > before) bucket_host_launch(b, lane);
    return OK;
}

status buckets_ready(struct buckets *b, int lane, int slice)
{
    struct bucket_seat *s = &b->seats[lane];
    ASSERT(slice >= 0 && slice < b->n_slices && !s->slice_ready[slice]);
    s->slice_ready[slice] = true;
    s->pending[b->of_slice[slice]]--;
    return launch_complete(b, lane);
}

status buckets_finish(struct buckets *b, int lane, double *exposed_s)
{
    struct bucket_seat *s = &b->seats[lane];
    double waited_s = 0, begin_s = clock_now_s();
    for (int i = 0; i < b->n_slices; i++)
        if (!s->slice_ready[i]) TRY(buckets_ready(b, lane, i));
    if (b->gpu != NULL) TRY(bucket_nccl_close(b, lane, &waited_s));
    if (b->host.runs) {
        TRY(bucket_host_wait(b, lane));
        waited_s = clock_now_s() - begin_s;
    }
    if (exposed_s != NULL) *exposed_s = waited_s;
    return OK;
}
