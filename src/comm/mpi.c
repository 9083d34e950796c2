// MPI between ranks. Each channel is a communicator of its own, so that the bucket thread and the
// main thread never meet in one.
#include "comm/backoff.h"
#include "comm/comm_internal.h"
#include "comm/mpi_error.h"
#include "comm/ring.h"

#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

// A note on its way.
struct posted {
    MPI_Request request;
    char note[COMM_NOTE_BYTES];
};

struct comm_mpi {
    struct comm base;
    MPI_Comm channel[COMM_N_CHANNELS];
    MPI_Comm notes;
    struct ring *ring;     // of the gradients' channel
    struct posted *posted; // by receiver: rank zero has one for each rank, others one for rank zero
};

// Longest piece of one call: MPI counts are int.
enum { MAX_ELEMENTS = 1 << 28 };
// From so many gradients on a sum goes round the ring: below, latency counts for more than bytes.
enum { MIN_RING = 1 << 14 };

static status await(MPI_Request *request)
{
    struct backoff wait;
    backoff_reset(&wait);
    for (;;) {
        int done = 0;
        TRY_MPI(MPI_Test(request, &done, MPI_STATUS_IGNORE));
        if (done) return OK;
        backoff_wait(&wait);
    }
}

// Starts a collective that takes its request as the last argument, and waits for it.
#define TRY_AWAIT(function, ...)                                                                   \
    do {                                                                                           \
        MPI_Request try_await_request_;                                                            \
        TRY_MPI(function(__VA_ARGS__, &try_await_request_));                                       \
        TRY(await(&try_await_request_));                                                           \
    } while (0)

static struct comm_mpi *from_base(struct comm *c)
{
    return (struct comm_mpi *)c; // base is the first member
}

static void end(struct comm *base)
{
    struct comm_mpi *c = from_base(base);
    int n_posted = base->rank == 0 ? base->size : 1;
    for (int i = 0; i < n_posted; i++)
        if (c->posted[i].request != MPI_REQUEST_NULL)
            (void)MPI_Wait(&c->posted[i].request, MPI_STATUS_IGNORE);
    mem_free(c->posted);
    ring_destroy(c->ring);
    for (int i = 0; i < COMM_N_CHANNELS; i++) (void)MPI_Comm_free(&c->channel[i]);
    (void)MPI_Comm_free(&c->notes);
    int finalized = 0;
    (void)MPI_Finalized(&finalized);
    if (!finalized) (void)MPI_Finalize();
}

static void abort_job(struct comm *base, int exit_code)
{
    (void)base;
    (void)MPI_Abort(MPI_COMM_WORLD, exit_code);
}

static status sum_f32(struct comm *base, enum comm_channel channel, float *data, size_t n)
{
    struct comm_mpi *c = from_base(base);
    if (n >= MIN_RING && channel == COMM_CHANNEL_GRADIENTS)
        return ring_sum(c->ring, false, data, n);
    for (size_t done = 0; done < n; done += MAX_ELEMENTS) {
        size_t left = n - done;
        int count = left < MAX_ELEMENTS ? (int)left : MAX_ELEMENTS;
        TRY_AWAIT(MPI_Iallreduce, MPI_IN_PLACE, data + done, count, MPI_FLOAT, MPI_SUM,
                  c->channel[channel]);
    }
    return OK;
}

static status sum_bf16(struct comm *base, float *data, size_t n)
{
    return ring_sum(from_base(base)->ring, true, data, n);
}

static status sum_f64(struct comm *base, double *data, size_t n)
{
    REQUIRE(n <= MAX_ELEMENTS, E_ARG, "sum of %zu doubles in one call", n);
    TRY_AWAIT(MPI_Iallreduce, MPI_IN_PLACE, data, (int)n, MPI_DOUBLE, MPI_SUM,
              from_base(base)->channel[COMM_CHANNEL_CONTROL]);
    return OK;
}

static status broadcast(struct comm *base, int root, void *data, size_t bytes)
{
    MPI_Comm comm = from_base(base)->channel[COMM_CHANNEL_CONTROL];
    for (size_t done = 0; done < bytes; done += MAX_ELEMENTS) {
        size_t left = bytes - done;
        int count = left < MAX_ELEMENTS ? (int)left : MAX_ELEMENTS;
        TRY_AWAIT(MPI_Ibcast, (char *)data + done, count, MPI_BYTE, root, comm);
    }
    return OK;
}

// Rank zero: offsets out of everybody's sizes, which MPI wants as int.
static status plan_gather(const struct comm *base, const int *sizes, int *displacement,
                          size_t *offset)
{
    offset[0] = 0;
    for (int r = 0; r < base->size; r++) {
        offset[r + 1] = offset[r] + (size_t)sizes[r];
        REQUIRE(offset[r + 1] <= INT_MAX, E_COMM, "gather of more than 2 GiB at rank %d", r);
        displacement[r] = (int)offset[r];
    }
    return OK;
}

static status gather_at_root(struct comm *base, const void *data, int own, int *sizes, char **all,
                             size_t *offset)
{
    MPI_Comm comm = from_base(base)->channel[COMM_CHANNEL_CONTROL];
    int *displacement = sizes + base->size;
    TRY_AWAIT(MPI_Igather, &own, 1, MPI_INT, sizes, 1, MPI_INT, 0, comm);
    TRY(plan_gather(base, sizes, displacement, offset));
    TRY(mem_alloc(all, offset[base->size]));
    TRY_AWAIT(MPI_Igatherv, data, own, MPI_BYTE, *all, sizes, displacement, MPI_BYTE, 0, comm);
    return OK;
}

static status gather(struct comm *base, const void *data, size_t bytes, char **all, size_t *offset)
{
    MPI_Comm comm = from_base(base)->channel[COMM_CHANNEL_CONTROL];
    REQUIRE(bytes <= INT_MAX, E_COMM, "gather of %zu bytes in one call", bytes);
    int own = (int)bytes;
    *all = NULL;
    if (base->rank != 0) {
        TRY_AWAIT(MPI_Igather, &own, 1, MPI_INT, NULL, 1, MPI_INT, 0, comm);
        TRY_AWAIT(MPI_Igatherv, data, own, MPI_BYTE, NULL, NULL, NULL, MPI_BYTE, 0, comm);
        return OK;
    }
    int *sizes = NULL;
    TRY(mem_alloc(&sizes, 2 * (size_t)base->size));
    status st = gather_at_root(base, data, own, sizes, all, offset);
    mem_free(sizes);
    return st;
}

static status barrier(struct comm *base)
{
    TRY_AWAIT(MPI_Ibarrier, from_base(base)->channel[COMM_CHANNEL_CONTROL]);
    return OK;
}

static status post(struct comm *base, int to, const char note[COMM_NOTE_BYTES], bool *posted)
{
    struct comm_mpi *c = from_base(base);
    struct posted *p = &c->posted[to];
    int done = 1;
    if (p->request != MPI_REQUEST_NULL) TRY_MPI(MPI_Test(&p->request, &done, MPI_STATUS_IGNORE));
    *posted = done != 0;
    if (!done) return OK;
    memcpy(p->note, note, COMM_NOTE_BYTES);
    TRY_MPI(MPI_Isend(p->note, COMM_NOTE_BYTES, MPI_BYTE, to, 0, c->notes, &p->request));
    return OK;
}

static status poll(struct comm *base, char note[COMM_NOTE_BYTES], int *from)
{
    const struct comm_mpi *c = from_base(base);
    MPI_Status what;
    int there = 0;
    *from = -1;
    TRY_MPI(MPI_Iprobe(MPI_ANY_SOURCE, 0, c->notes, &there, &what));
    if (!there) return OK;
    TRY_MPI(
        MPI_Recv(note, COMM_NOTE_BYTES, MPI_BYTE, what.MPI_SOURCE, 0, c->notes, MPI_STATUS_IGNORE));
    *from = what.MPI_SOURCE;
    return OK;
}

static const struct comm_ops ops = {
    .name = "mpi",
    .end = end,
    .abort = abort_job,
    .sum_f32 = sum_f32,
    .sum_bf16 = sum_bf16,
    .sum_f64 = sum_f64,
    .broadcast = broadcast,
    .gather = gather,
    .barrier = barrier,
    .post = post,
    .poll = poll,
};

// Over TCP Open MPI asks the receiver before it sends more than 64 KiB, and the answer queues
// behind what is on its way to there: of a link's two directions only one is busy at a time. The
// ring's segments (256 KiB) are expected, so they may come unasked. What the user has set stands.
static void prepare_open_mpi(void)
{
    (void)setenv("OMPI_MCA_btl_tcp_eager_limit", "524288", 0);
}

static status start(struct comm_mpi *c)
{
    int provided = MPI_THREAD_SINGLE, initialized = 0;
    TRY_MPI(MPI_Initialized(&initialized));
    if (!initialized) prepare_open_mpi();
    if (!initialized) TRY_MPI(MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided));
    TRY_MPI(MPI_Query_thread(&provided));
    REQUIRE(provided >= MPI_THREAD_MULTIPLE, E_UNSUPPORTED,
            "this MPI serves one thread at a time (level %d); Shoal needs MPI_THREAD_MULTIPLE",
            provided);
    TRY_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    for (int i = 0; i < COMM_N_CHANNELS; i++) {
        TRY_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &c->channel[i]));
        TRY_MPI(MPI_Comm_set_errhandler(c->channel[i], MPI_ERRORS_RETURN));
    }
    TRY_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &c->notes));
    TRY_MPI(MPI_Comm_set_errhandler(c->notes, MPI_ERRORS_RETURN));
    return ring_create(c->channel[COMM_CHANNEL_GRADIENTS], &c->ring);
}

static status describe(struct comm_mpi *c)
{
    struct comm *base = &c->base;
    TRY_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &base->rank));
    TRY_MPI(MPI_Comm_size(MPI_COMM_WORLD, &base->size));
    MPI_Comm host;
    TRY_MPI(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, base->rank, MPI_INFO_NULL,
                                &host));
    TRY_MPI(MPI_Comm_rank(host, &base->local_rank));
    TRY_MPI(MPI_Comm_size(host, &base->local_size));
    TRY_MPI(MPI_Comm_free(&host));
    char version[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    TRY_MPI(MPI_Get_library_version(version, &length));
    version[strcspn(version, ",\n")] = '\0';
    (void)snprintf(base->version, sizeof base->version, "%.255s", version);
    return OK;
}

static status prepare_notes(struct comm_mpi *c)
{
    size_t n = c->base.rank == 0 ? (size_t)c->base.size : 1;
    TRY(mem_zalloc(&c->posted, n));
    for (size_t i = 0; i < n; i++) c->posted[i].request = MPI_REQUEST_NULL;
    return OK;
}

status comm_mpi_create(struct comm **out)
{
    struct comm_mpi *c = NULL;
    TRY(mem_zalloc(&c, 1));
    c->base.ops = &ops;
    status st = start(c);
    if (st == OK) st = describe(c);
    if (st == OK) st = prepare_notes(c);
    if (st != OK) {
        ring_destroy(c->ring);
        mem_free(c); // MPI stays as it is: the caller aborts or ends
        return st;
    }
    *out = &c->base;
    return OK;
}
