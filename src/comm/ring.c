// The ring, as one sequence of items: item k is segment k % S of round k / S; in round t a rank
// sends chunk (rank - t) mod P to the right and receives chunk (rank - t - 1) mod P from the left,
// for 2 (P - 1) rounds. The first half of the items is added to what is there, the second half
// takes its place. What is received as item k is what is sent as item k + S.
//
// As bf16, segments are rounded into slots on their way out and widened as they come in; data stays
// fp32. A sum that is whole takes its rounded value at its owner too.
#include "comm/ring.h"

#include "comm/backoff.h"
#include "comm/mpi_error.h"
#include "core/bf16.h"
#include "core/mem.h"
#include "core/pulse.h"
#include "core/simd.h"

enum {
    SEGMENT = 1 << 16, // elements, so that a segment stays in the second-level cache
    WINDOW = 4,        // items under way in each direction
};

struct ring {
    MPI_Comm comm;
    int rank, size;
    float *scratch; // WINDOW segments that come in and, as bf16, WINDOW that go out
};

struct transfer { // of one sum
    struct ring *ring;
    bool bf16;
    float *data;
    size_t n, chunk;              // elements; of a chunk, the last ones may have fewer
    size_t segments, half, total; // items of a round, of the first half, of all
    size_t posted, received, sent, sent_whole;
    MPI_Request in[WINDOW], out[WINDOW];
};

struct span {
    float *data;
    size_t n;
};

status ring_create(MPI_Comm comm, struct ring **out)
{
    struct ring *r = NULL;
    TRY(mem_zalloc(&r, 1));
    r->comm = comm;
    (void)MPI_Comm_rank(comm, &r->rank);
    (void)MPI_Comm_size(comm, &r->size);
    status st = mem_alloc(&r->scratch, 2 * (size_t)WINDOW * SEGMENT);
    if (st != OK) {
        mem_free(r);
        return st;
    }
    *out = r;
    return OK;
}

void ring_destroy(struct ring *r)
{
    if (r == NULL) return;
    mem_free(r->scratch);
    mem_free(r);
}

// Where an item of the round's chunk lies: chunk (rank - shift) mod P.
static struct span span_of(const struct transfer *t, size_t item, size_t shift)
{
    size_t p = (size_t)t->ring->size, rank = (size_t)t->ring->rank;
    size_t chunk = (rank + 2 * p - shift) % p;
    size_t begin = chunk * t->chunk + item % t->segments * SEGMENT;
    size_t end = begin + SEGMENT, chunk_end = (chunk + 1) * t->chunk;
    if (end > chunk_end) end = chunk_end;
    if (end > t->n) end = t->n;
    return (struct span){t->data + (begin < end ? begin : 0), begin < end ? end - begin : 0};
}

static struct span sent_as(const struct transfer *t, size_t item)
{
    return span_of(t, item, item / t->segments);
}

static struct span received_as(const struct transfer *t, size_t item)
{
    return span_of(t, item, item / t->segments + 1);
}

static void *slot_of(const struct transfer *t, bool out, size_t item)
{
    return t->ring->scratch + (item % WINDOW + (out ? WINDOW : 0)) * SEGMENT;
}

static SIMD_CLONES void add(struct span to, const float *restrict from)
{
    for (size_t i = 0; i < to.n; i++) to.data[i] += from[i];
}

static SIMD_CLONES void add_bf16(struct span to, const uint16_t *restrict from)
{
    for (size_t i = 0; i < to.n; i++) to.data[i] += bf16_to_float(from[i]);
}

static SIMD_CLONES void narrow(struct span from, uint16_t *restrict to)
{
    for (size_t i = 0; i < from.n; i++) to[i] = bf16_from_float(from.data[i]);
}

static SIMD_CLONES void widen(struct span to, const uint16_t *restrict from)
{
    for (size_t i = 0; i < to.n; i++) to.data[i] = bf16_to_float(from[i]);
}

// A chunk that is to be replaced must have left first.
static bool may_post(const struct transfer *t)
{
    return t->posted < t->total && t->posted < t->received + WINDOW &&
           (t->posted < t->half || t->sent_whole > t->posted - t->half);
}

static bool may_send(const struct transfer *t)
{
    return t->sent < t->total && t->sent < t->sent_whole + WINDOW &&
           (t->sent < t->segments || t->received > t->sent - t->segments);
}

// What is to be sent as item t->sent.
static const void *outgoing(const struct transfer *t, struct span s)
{
    if (!t->bf16) return s.data;
    uint16_t *slot = slot_of(t, true, t->sent);
    narrow(s, slot);
    if (t->sent >= t->half && t->sent < t->half + t->segments) widen(s, slot);
    return slot;
}

// Adds what has come, or puts it in its place where it has not come there.
static void take_in(const struct transfer *t, size_t item)
{
    struct span s = received_as(t, item);
    const void *from = slot_of(t, false, item);
    if (item < t->half && t->bf16)
        add_bf16(s, from);
    else if (item < t->half)
        add(s, from);
    else if (t->bf16)
        widen(s, from);
}

static status start_items(struct transfer *t)
{
    const struct ring *r = t->ring;
    int left = (r->rank + r->size - 1) % r->size, right = (r->rank + 1) % r->size;
    MPI_Datatype type = t->bf16 ? MPI_UINT16_T : MPI_FLOAT;
    for (; may_post(t); t->posted++) {
        struct span s = received_as(t, t->posted);
        bool direct = t->posted >= t->half && !t->bf16;
        void *to = direct ? s.data : slot_of(t, false, t->posted);
        TRY_MPI(MPI_Irecv(to, (int)s.n, type, left, 0, r->comm, &t->in[t->posted % WINDOW]));
    }
    for (; may_send(t); t->sent++) {
        struct span s = sent_as(t, t->sent);
        const void *from = outgoing(t, s);
        TRY_MPI(MPI_Isend(from, (int)s.n, type, right, 0, r->comm, &t->out[t->sent % WINDOW]));
    }
    return OK;
}

// The oldest item each way, where it is through.
static status finish_items(struct transfer *t, bool *any)
{
    int done = 0;
    *any = false;
    if (t->received < t->posted) {
        TRY_MPI(MPI_Test(&t->in[t->received % WINDOW], &done, MPI_STATUS_IGNORE));
        if (done) take_in(t, t->received++);
        *any = done;
    }
    if (t->sent_whole < t->sent) {
        TRY_MPI(MPI_Test(&t->out[t->sent_whole % WINDOW], &done, MPI_STATUS_IGNORE));
        if (done) t->sent_whole++;
        *any = *any || done;
    }
    return OK;
}

status ring_sum(struct ring *r, bool bf16, float *data, size_t n)
{
    size_t p = (size_t)r->size, chunk = (n + p - 1) / p;
    if (p == 1 || n == 0) return OK;
    struct transfer t = {.ring = r, .bf16 = bf16, .data = data, .n = n, .chunk = chunk};
    t.segments = (chunk + SEGMENT - 1) / SEGMENT;
    t.half = (p - 1) * t.segments;
    t.total = 2 * t.half;
    struct backoff wait;
    backoff_reset(&wait);
    while (t.received < t.total || t.sent_whole < t.total) {
        bool any;
        TRY(start_items(&t));
        TRY(finish_items(&t, &any));
        if (any) {
            backoff_reset(&wait);
            pulse_beat(); // a slow link is no stalled one
        } else {
            backoff_wait(&wait);
        }
    }
    return OK;
}
