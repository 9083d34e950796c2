// Plans for a GPU that is not there: the very code that describes graphs to cuDNN and chooses
// engines (cudnn_graph.c, cudnn_plan.c) runs on the real cuDNN, for a described device.
//
// plans GPU DEPTH HxW BATCH PRECISION [full|offered] [part=K/N] [log=FILE]: a line for each
// distinct graph of the network (every N-th from K on) and a summary, a line of plans.txt; exit 1
// where a graph has no plan. "offered" asks the heuristics alone and finishes nothing. A graph that
// FILE has a line of is not planned again; the others' lines are added to it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cuda/plan_layers.h"
#include "cuda/plan_log.h"
#include "tensor/cuda/cudnn_plan.h"
#include "tensor/tensor.h"

// Typical figures, not ones read from a device; sm is 100 * major + 10 * minor.
struct gpu {
    const char *name;
    int sm, processors, shared_bytes;
    long long memory, l2;
    int clock_khz, memory_clock_khz;
};

static const struct gpu gpus[] = {
    {"h100", 900, 132, 232448, 85014020096, 52428800, 1980000, 2619000},
    {"a100", 800, 108, 166912, 85094825984, 41943040, 1410000, 1593000},
    {"b200", 1000, 148, 232448, 191514411008, 132644864, 1965000, 3996000},
};

// Not one of the 23 keys may be missing.
static status describe(const struct cudnn_library *l, const struct gpu *g,
                       cudnnBackendDescriptor_t *out)
{
    char json[1024];
    int n = snprintf(
        json, sizeof json,
        "{\"deviceVer\":%d,\"multiProcessorCount\":%d,\"warpSize\":32,"
        "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":%d,"
        "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":32,"
        "\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"regsPerBlock\":65536,"
        "\"totalGlobalMem\":%lld,\"smClockRateKHz\":%d,\"l2CacheSize\":%lld,"
        "\"maxBlockSize\":[1024,1024,64],\"memClockRateKHz\":%d,"
        "\"maxGridSize\":[2147483647,65535,65535],\"supportCoopLaunch\":1,\"pciDeviceId\":0,"
        "\"isTccDriver\":0,\"cudaDeviceId\":0,\"driverVer\":13000,\"deviceName\":\"%s\"}",
        g->sm, g->processors, g->shared_bytes, g->memory, g->clock_khz, g->l2, g->memory_clock_khz,
        g->name);
    TRY_CUDNN(l->create_descriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, out));
    TRY_CUDNN(l->set_attribute(*out, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, n,
                               json));
    TRY_CUDNN(l->finalize(*out));
    return OK;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const struct {
    unsigned bit;
    const char *text;
} notes[] = {{CUDNN_NUMERICAL_NOTE_TENSOR_CORE, " tensor-cores"},
             {CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, " rounds-inputs"},
             {CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, " reduced-sums"},
             {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, " nondeterministic"}};

enum how { FULL, OFFERED };

struct totals {
    int graphs, planned, fallback, noted[COUNT(notes)];
    double workspace_mb; // the most
};

static void plan_line(const char *graph, const struct cudnn_plan *p, double seconds,
                      char line[PLAN_LOG_LINE_BYTES])
{
    int n = snprintf(line, PLAN_LOG_LINE_BYTES,
                     "%-52s engine %3lld of %2d%s, workspace %7.2f MB, %4.1f s", graph,
                     (long long)p->engine, p->offered, p->fallback ? " (fallback)" : "",
                     (double)p->workspace_bytes / 1e6, seconds);
    for (size_t i = 0; i < COUNT(notes); i++)
        if (p->notes & 1U << notes[i].bit)
            n += snprintf(line + n, (size_t)(PLAN_LOG_LINE_BYTES - n), "%s", notes[i].text);
    ASSERT(n < PLAN_LOG_LINE_BYTES);
}

// Of the line alone, so that one from a log counts as one made now.
static void add_line(struct totals *to, const char *line)
{
    const char *workspace = strstr(line, "workspace ");
    double mb = 0;
    ASSERT(workspace != NULL && sscanf(workspace, "workspace %lf MB", &mb) == 1);
    to->planned++;
    to->fallback += strstr(line, "(fallback)") != NULL;
    if (mb > to->workspace_mb) to->workspace_mb = mb;
    for (size_t i = 0; i < COUNT(notes); i++) to->noted[i] += strstr(line, notes[i].text) != NULL;
}

static status count(void *context, const struct cudnn_target *t, cudnnBackendDescriptor_t config,
                    struct cudnn_plan *p, bool *made)
{
    (void)t, (void)config;
    *(struct cudnn_plan *)context = *p;
    *made = true;
    return OK;
}

// Compiled and finished, or taken at the heuristics' word.
static status make(const struct cudnn_target *t, const struct cudnn_graph_desc *d, enum how how,
                   struct cudnn_plan *out)
{
    const struct cudnn_plan_visitor first = {.visit = count, .context = out, .one = true};
    struct cudnn_plan_visited visited;
    if (how == FULL) return cudnn_plan_choose(t, d, out);
    TRY(cudnn_plan_visit(t, d, &first, &visited));
    out->offered = visited.offered;
    return OK;
}

struct work {
    struct cudnn_target target;
    enum how how;
    int part, parts;
    struct plan_log log;
    struct totals totals;
};

static status try_graph(struct work *k, const struct cudnn_graph_desc *d)
{
    char text[CUDNN_GRAPH_TEXT_BYTES], line[PLAN_LOG_LINE_BYTES];
    struct cudnn_plan p;
    const double begin = now();
    // What the text leaves out.
    ASSERT(d->pad == d->r / 2 && d->r == d->s && !d->any_order);
    k->totals.graphs++;
    if (!plan_log_find(&k->log, cudnn_graph_text(d, text), line)) {
        if (make(&k->target, d, k->how, &p) != OK) {
            printf("%-52s NO PLAN: %s\n", text, error_text());
            return OK;
        }
        plan_line(text, &p, now() - begin, line);
        cudnn_plan_fini(k->target.library, &p);
        TRY(plan_log_add(&k->log, line));
    }
    add_line(&k->totals, line);
    printf("%s\n", line);
    fflush(stdout);
    return OK;
}

static status run(const struct gpu *gpu, const struct plan_layers *layers, const char *log,
                  struct work *k)
{
    struct cudnn_library *l;
    char version[32];
    status st = OK;
    TRY(cudnn_library_open(&l));
    cudnn_library_version(l, version, sizeof version);
    k->target.library = l;
    TRY_GOTO(st, plan_log_open(log, version, &k->log), out);
    TRY_GOTO(st, describe(l, gpu, &k->target.property), out);
    for (int i = k->part; i < layers->n; i += k->parts)
        TRY_GOTO(st, try_graph(k, &layers->graph[i]), out);
out:
    plan_log_close(&k->log);
    if (k->target.property != NULL) (void)l->destroy_descriptor(k->target.property);
    cudnn_library_close(l);
    return st;
}

// The columns of plans.txt.
static void print_summary(char **words, const struct work *k)
{
    const struct totals *to = &k->totals;
    printf("%s R%s %-8s %s %-7s %6d %6d %8d", words[1], words[2], words[3], words[5],
           k->how == FULL ? "planned" : "offered", to->graphs, to->planned, to->fallback);
    if (k->how == FULL)
        printf(" %9.2f", to->workspace_mb);
    else
        printf(" %9s", "-");
    for (size_t i = 0; i < COUNT(notes); i++) printf(" %6d", to->noted[i]);
    printf("\n");
}

static bool read_word(const char *word, struct work *k, const char **log)
{
    if (strcmp(word, "full") == 0) return true;
    if (strncmp(word, "log=", 4) == 0) {
        *log = word + 4;
        return true;
    }
    if (strcmp(word, "offered") == 0) {
        k->how = OFFERED;
        return true;
    }
    return sscanf(word, "part=%d/%d", &k->part, &k->parts) == 2 && k->part >= 0 && k->parts > 0;
}

static const char usage[] = "usage: plans h100|a100|b200 18|50 HxW BATCH bf16|tf32|fp32 "
                            "[full|offered] [part=K/N] [log=FILE]\n";

int main(int argc, char **argv)
{
    static struct plan_layers layers;
    const struct gpu *gpu = NULL;
    const char *log = NULL;
    struct work work = {.parts = 1};
    int h = 0, w = 0;
    bool good = argc >= 6 && sscanf(argv[3], "%dx%d", &h, &w) == 2;
    for (size_t i = 0; good && i < COUNT(gpus); i++)
        if (strcmp(argv[1], gpus[i].name) == 0) gpu = &gpus[i];
    for (int i = 6; i < argc; i++) good = good && read_word(argv[i], &work, &log);
    if (!good || gpu == NULL || (log != NULL && work.how == OFFERED)) {
        fputs(usage, stderr);
        return 2;
    }
    const int32_t dtype = strcmp(argv[5], "bf16") == 0 ? DTYPE_BF16 : DTYPE_F32;
    plan_layers_of(atoi(argv[2]), h, w, atoi(argv[4]), dtype, strcmp(argv[5], "tf32") == 0,
                   &layers);
    if (run(gpu, &layers, log, &work) != OK) {
        fprintf(stderr, "plans: %s\n", error_text());
        return 1;
    }
    print_summary(argv, &work);
    return work.totals.planned < work.totals.graphs;
}
