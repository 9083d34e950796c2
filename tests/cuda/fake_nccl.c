// NCCL without a GPU: the entry points that buckets open, built as libnccl.so.2 and found through
// LD_LIBRARY_PATH. A sum is a closure on its stream: the devices of a process meet in memory, those
// of other processes by MPI, and everything is added in the order of ranks, so that the bits are
// the same everywhere and always. A stream that waits in a sum is a thread that waits.
//
// FAKE_NCCL_FAIL=RANK:N      that rank's N-th sum never ends, and the error that comes behind is
// seen
//                            by ncclCommGetAsyncError alone
// FAKE_NCCL_REFUSE=RANK:N    that rank's N-th call of ncclAllReduce is refused at once
// FAKE_NCCL_LOG=PATH         every rank appends a line for each call of ncclAllReduce: its number,
//                            the rank, the bytes, and how many kernels were launched before it
//
// Linked into a ThreadSanitizer build, it reads and writes gradients by memcpy, which the sanitizer
// sees; built without it, its sums are out of sight.
#include <mpi.h>
#include <nccl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cuda/fake_cudart_internal.h"

enum { MAX_LOCAL = 16, POLL_US = 200 };

// The devices of this process that share an id.
struct group {
    ncclUniqueId id;
    int n_ranks, n_local, n_joined, n_left;
    MPI_Comm mpi; // of the processes; MPI_COMM_NULL for one
    pthread_mutex_t lock;
    pthread_cond_t changed;
    // Of the sum under way:
    uint64_t round;
    int n_here, n_copied;
    char *own; // local devices' data, one after another
    char *all; // of every rank
    struct group *next;
};

struct ncclComm {
    struct group *group;
    int rank, lane;
    uint64_t n_calls;
    volatile bool failed, aborted;
};

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct group *groups;

// ---- Joining
// -------------------------------------------------------------------------------------

ncclResult_t ncclGetVersion(int *version)
{
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t code)
{
    return code == ncclSuccess       ? "no error"
           : code == ncclRemoteError ? "remote process exited or there was a network error"
                                     : "refused by the double of NCCL";
}

const char *ncclGetLastError(ncclComm_t comm)
{
    return comm != NULL && comm->failed ? "as asked for" : "";
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    static int count;
    memset(id, 0, sizeof *id);
    (void)snprintf(id->internal, sizeof id->internal, "%d.%d", (int)getpid(), ++count);
    return ncclSuccess;
}

static int n_processes(void)
{
    int running = 0, n = 1;
    (void)MPI_Initialized(&running);
    if (running) (void)MPI_Comm_size(MPI_COMM_WORLD, &n);
    return n;
}

static struct group *find_group(const ncclUniqueId *id, int n_ranks)
{
    struct group *g = groups;
    while (g != NULL && memcmp(&g->id, id, sizeof *id) != 0) g = g->next;
    if (g != NULL) return g;
    g = calloc(1, sizeof *g);
    g->id = *id;
    g->n_ranks = n_ranks;
    g->n_local = n_ranks / n_processes();
    g->mpi = MPI_COMM_NULL;
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->changed, NULL);
    g->next = groups;
    groups = g;
    return g;
}

// All devices of the process are there; the first that is meets the other processes.
ncclResult_t ncclCommInitRank(ncclComm_t *out, int n_ranks, ncclUniqueId id, int rank)
{
    pthread_mutex_lock(&list_lock);
    struct group *g = find_group(&id, n_ranks);
    pthread_mutex_unlock(&list_lock);
    if (rank < 0 || rank >= n_ranks || g->n_local < 1 || g->n_local > MAX_LOCAL)
        return ncclInvalidArgument;
    struct ncclComm *c = calloc(1, sizeof *c);
    *c = (struct ncclComm){.group = g, .rank = rank, .lane = rank % g->n_local};
    pthread_mutex_lock(&g->lock);
    if (++g->n_joined == g->n_local && n_processes() > 1) MPI_Comm_dup(MPI_COMM_WORLD, &g->mpi);
    pthread_cond_broadcast(&g->changed);
    while (g->n_joined < g->n_local || (n_processes() > 1 && g->mpi == MPI_COMM_NULL))
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
    *out = c;
    return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t c)
{
    struct group *g = c->group;
    pthread_mutex_lock(&g->lock);
    bool last = ++g->n_left == g->n_local;
    pthread_mutex_unlock(&g->lock);
    free(c);
    if (!last) return ncclSuccess;
    if (g->mpi != MPI_COMM_NULL) MPI_Comm_free(&g->mpi);
    pthread_mutex_lock(&list_lock);
    for (struct group **p = &groups; *p != NULL; p = &(*p)->next)
        if (*p == g) {
            *p = g->next;
            break;
        }
    pthread_mutex_unlock(&list_lock);
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
    free(g->all);
    free(g->own);
    free(g);
    return ncclSuccess;
}

// Sums under way end without a result. What is shared is left to the end of the process.
ncclResult_t ncclCommAbort(ncclComm_t c)
{
    fprintf(stderr, "fake NCCL: rank %d aborted\n", c->rank);
    c->aborted = true;
    pthread_mutex_lock(&c->group->lock);
    pthread_cond_broadcast(&c->group->changed);
    pthread_mutex_unlock(&c->group->lock);
    return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t *code)
{
    *code = c->failed ? ncclRemoteError : ncclSuccess;
    return ncclSuccess;
}

// ---- Summing
// -------------------------------------------------------------------------------------

struct sum {
    struct ncclComm *comm;
    const void *from;
    void *to;
    size_t n, bytes;
    bool bf16, fails;
};

static float widen(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint16_t narrow(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (f != f) return (uint16_t)((bits | 0x400000u) >> 16);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// all: every rank's, one after another; the first one's becomes the sum.
static void add_up(const struct sum *s, int n_ranks, char *all)
{
    for (int r = 1; r < n_ranks; r++) {
        const char *from = all + (size_t)r * s->bytes;
        for (size_t i = 0; i < s->n; i++) {
            if (s->bf16) {
                uint16_t *to = (uint16_t *)all + i;
                *to = narrow(widen(*to) + widen(((const uint16_t *)from)[i]));
            } else {
                ((float *)all)[i] += ((const float *)from)[i];
            }
        }
    }
}

// Every process' part, to every process; false where it was aborted meanwhile.
static bool exchange(const struct sum *s, struct group *g)
{
    size_t part = (size_t)g->n_local * s->bytes;
    MPI_Request request;
    int done = 0;
    if (g->mpi == MPI_COMM_NULL) {
        memcpy(g->all, g->own, part);
        return true;
    }
    MPI_Iallgather(g->own, (int)part, MPI_BYTE, g->all, (int)part, MPI_BYTE, g->mpi, &request);
    while (!done && !s->comm->aborted) {
        MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        if (!done) usleep(POLL_US);
    }
    return done != 0;
}

// The last device of the process to come does what there is to do for all of them.
static void meet(const struct sum *s, struct group *g)
{
    uint64_t round = g->round;
    if (g->n_here++ == 0) {
        g->own = realloc(g->own, (size_t)g->n_local * s->bytes);
        g->all = realloc(g->all, (size_t)g->n_ranks * s->bytes);
    }
    memcpy(g->own + (size_t)s->comm->lane * s->bytes, s->from, s->bytes);
    if (g->n_here < g->n_local) {
        while (g->round == round && !s->comm->aborted) pthread_cond_wait(&g->changed, &g->lock);
        return;
    }
    if (exchange(s, g)) add_up(s, g->n_ranks, g->all);
    g->n_here = g->n_copied = 0;
    g->round++;
    pthread_cond_broadcast(&g->changed);
}

// Nobody begins the next sum before all have this one's result.
static void run_sum(void *argument)
{
    struct sum *s = argument;
    struct group *g = s->comm->group;
    if (s->fails) s->comm->failed = true;
    while (s->fails && !s->comm->aborted) usleep(POLL_US);
    if (s->comm->aborted) return;
    pthread_mutex_lock(&g->lock);
    meet(s, g);
    if (!s->comm->aborted) memcpy(s->to, g->all, s->bytes);
    uint64_t round = g->round;
    g->n_copied++;
    pthread_cond_broadcast(&g->changed);
    while (g->n_copied < g->n_local && g->round == round && !s->comm->aborted)
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

// Whether variable names this rank and the number of its call.
static bool asked_for(const char *variable, const struct ncclComm *c)
{
    const char *text = getenv(variable);
    int rank;
    unsigned long n;
    return text != NULL && sscanf(text, "%d:%lu", &rank, &n) == 2 && rank == c->rank &&
           n == c->n_calls;
}

static void log_call(const struct ncclComm *c, size_t bytes)
{
    const char *path = getenv("FAKE_NCCL_LOG");
    FILE *log = path != NULL ? fopen(path, "a") : NULL;
    if (log == NULL) return;
    fprintf(log, "%lu rank %d bytes %zu kernels %lu\n", (unsigned long)c->n_calls, c->rank, bytes,
            fake_cudart_launches());
    fclose(log);
}

ncclResult_t ncclAllReduce(const void *from, void *to, size_t n, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t c, cudaStream_t stream)
{
    bool bf16 = type == ncclBfloat16;
    if (op != ncclSum || (!bf16 && type != ncclFloat32)) return ncclInvalidArgument;
    size_t bytes = n * (bf16 ? sizeof(uint16_t) : sizeof(float));
    c->n_calls++;
    log_call(c, bytes);
    if (asked_for("FAKE_NCCL_REFUSE", c)) return ncclInternalError;
    struct sum *s = malloc(sizeof *s);
    *s = (struct sum){.comm = c,
                      .from = from,
                      .to = to,
                      .n = n,
                      .bytes = bytes,
                      .bf16 = bf16,
                      .fails = asked_for("FAKE_NCCL_FAIL", c)};
    return fake_cudart_launch(stream, run_sum, free, s) == cudaSuccess ? ncclSuccess
                                                                       : ncclUnhandledCudaError;
}
