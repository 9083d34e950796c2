// Plans for a GPU that is not there: the very code that describes graphs to cuDNN and chooses
// engines (cudnn_graph.c, cudnn_plan.c) runs on the real cuDNN, for a described device.
//
// plans GPU DEPTH HxW BATCH PRECISION [full|offered [PART/PARTS]]: a line for each distinct graph
// of the network (every PARTS-th from PART on) and a summary; exit 1 where one has no plan.
// "offered" asks the heuristics alone and finishes nothing.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cuda/plan_layers.h"
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

static void print_notes(unsigned notes)
{
    static const struct {
        unsigned bit;
        const char *text;
    } names[] = {{CUDNN_NUMERICAL_NOTE_TENSOR_CORE, " tensor-cores"},
                 {CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, " rounds-inputs"},
                 {CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, " reduced-sums"},
                 {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, " nondeterministic"}};
    for (size_t i = 0; i < COUNT(names); i++)
        if (notes & 1U << names[i].bit) printf("%s", names[i].text);
}

enum how { FULL, OFFERED };

struct totals {
    int graphs, planned, in_steps, missing;
    size_t workspace_bytes; // the most
};

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

static void try_graph(const struct cudnn_target *t, const struct cudnn_graph_desc *d, enum how how,
                      struct totals *to)
{
    char text[CUDNN_GRAPH_TEXT_BYTES];
    struct cudnn_plan p;
    double begin = now();
    to->graphs++;
    printf("%-52s", cudnn_graph_text(d, text));
    if (make(t, d, how, &p) != OK) {
        struct cudnn_graph_desc bare = *d;
        // A gradient's epilogue can be passes of their own (conv2d.c, data_in_steps).
        const bool steps = d->pass == CUDNN_GRAPH_PASS_DATA && (d->z != 0 || d->relu != 0);
        printf("  %s: %s\n", steps ? "in steps" : "NO PLAN", error_text());
        bare.z = bare.relu = 0;
        to->in_steps += steps;
        to->missing += !steps;
        if (steps) try_graph(t, &bare, how, to);
        return;
    }
    to->planned++;
    if (p.workspace_bytes > to->workspace_bytes) to->workspace_bytes = p.workspace_bytes;
    printf(" engine %3lld of %2d%s, workspace %7.2f MB, %4.1f s", (long long)p.engine, p.offered,
           p.fallback ? " (fallback)" : "", (double)p.workspace_bytes / 1e6, now() - begin);
    print_notes(p.notes);
    printf("\n");
    fflush(stdout);
    cudnn_plan_fini(t->library, &p);
}

struct part {
    int number, of;
};

static status run(const struct gpu *gpu, const struct plan_layers *layers, enum how how,
                  struct part part, struct totals *to)
{
    struct cudnn_library *l;
    struct cudnn_target t = {0};
    TRY(cudnn_library_open(&l));
    t.library = l;
    TRY(describe(l, gpu, &t.property));
    for (int i = part.number; i < layers->n; i += part.of)
        try_graph(&t, &layers->graph[i], how, to);
    (void)l->destroy_descriptor(t.property);
    cudnn_library_close(l);
    return OK;
}

static const char usage[] =
    "usage: plans h100|a100|b200 18|50 HxW BATCH bf16|tf32|fp32 [full|offered [PART/PARTS]]\n";

int main(int argc, char **argv)
{
    static struct plan_layers layers;
    const struct gpu *gpu = NULL;
    struct part part = {0, 1};
    struct totals totals = {0};
    int h, w;
    for (size_t i = 0; argc > 1 && i < COUNT(gpus); i++)
        if (strcmp(argv[1], gpus[i].name) == 0) gpu = &gpus[i];
    if (argc < 6 || gpu == NULL || sscanf(argv[3], "%dx%d", &h, &w) != 2 ||
        (argc > 7 && (sscanf(argv[7], "%d/%d", &part.number, &part.of) != 2 || part.of < 1))) {
        fputs(usage, stderr);
        return 2;
    }
    const int32_t dtype = strcmp(argv[5], "bf16") == 0 ? DTYPE_BF16 : DTYPE_F32;
    const enum how how = argc > 6 && strcmp(argv[6], "offered") == 0 ? OFFERED : FULL;
    double begin = now();
    plan_layers_of(atoi(argv[2]), h, w, atoi(argv[4]), dtype, strcmp(argv[5], "tf32") == 0,
                   &layers);
    if (run(gpu, &layers, how, part, &totals) != OK) {
        fprintf(stderr, "plans: %s\n", error_text());
        return 1;
    }
    printf("%s R%s %s batch %s %s: %d graphs, %d %s, %d in steps, %d without a plan, workspace at "
           "most %.2f MB; %.0f s\n",
           argv[1], argv[2], argv[3], argv[4], argv[5], totals.graphs, totals.planned,
           how == FULL ? "planned" : "offered", totals.in_steps, totals.missing,
           (double)totals.workspace_bytes / 1e6, now() - begin);
    return totals.missing > 0;
}
