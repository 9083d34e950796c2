// Plans for a GPU that is not there: the very code that describes graphs to cuDNN and chooses
// engines (cudnn_graph.c, cudnn_plan.c) runs on the real cuDNN, for a described device.
//
// plans GPU DEPTH HxW BATCH PRECISION [EVERY]: a line for each EVERY-th distinct graph of the
// network; exit 1 where one has no plan.
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

static bool try_graph(const struct cudnn_target *t, const struct cudnn_graph_desc *d)
{
    char text[CUDNN_GRAPH_TEXT_BYTES];
    struct cudnn_plan p;
    double begin = now();
    printf("%-52s", cudnn_graph_text(d, text));
    if (cudnn_plan_choose(t, d, &p) != OK) {
        printf("  NO PLAN: %s\n", error_text());
        return false;
    }
    printf(" engine %3lld of %2d%s, workspace %7.2f MB, %4.1f s", (long long)p.engine, p.offered,
           p.fallback ? " (fallback)" : "", (double)p.workspace_bytes / 1e6, now() - begin);
    print_notes(p.notes);
    printf("\n");
    fflush(stdout);
    cudnn_plan_fini(t->library, &p);
    return true;
}

static status run(const struct gpu *gpu, const struct plan_layers *layers, int every, int *missing)
{
    struct cudnn_library *l;
    struct cudnn_target t = {0};
    int n = 0;
    TRY(cudnn_library_open(&l));
    t.library = l;
    TRY(describe(l, gpu, &t.property));
    double begin = now();
    for (int i = 0; i < layers->n; i += every, n++) *missing += !try_graph(&t, &layers->graph[i]);
    printf("%s: %d of %d graphs planned, %d distinct, %.0f s\n", gpu->name, n - *missing, n,
           layers->n, now() - begin);
    (void)l->destroy_descriptor(t.property);
    cudnn_library_close(l);
    return OK;
}

int main(int argc, char **argv)
{
    static struct plan_layers layers;
    const struct gpu *gpu = NULL;
    int h, w, missing = 0;
    for (size_t i = 0; argc > 1 && i < COUNT(gpus); i++)
        if (strcmp(argv[1], gpus[i].name) == 0) gpu = &gpus[i];
    if (argc < 6 || gpu == NULL || sscanf(argv[3], "%dx%d", &h, &w) != 2) {
        fprintf(stderr, "usage: plans h100|a100|b200 18|50 HxW BATCH bf16|tf32|fp32 [EVERY]\n");
        return 2;
    }
    const int32_t dtype = strcmp(argv[5], "bf16") == 0 ? DTYPE_BF16 : DTYPE_F32;
    plan_layers_of(atoi(argv[2]), h, w, atoi(argv[4]), dtype, strcmp(argv[5], "tf32") == 0,
                   &layers);
    if (run(gpu, &layers, argc > 6 ? atoi(argv[6]) : 1, &missing) != OK) {
        fprintf(stderr, "plans: %s\n", error_text());
        return 1;
    }
    return missing > 0;
}
