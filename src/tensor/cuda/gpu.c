// Which GPUs there are, and with what.
#include "tensor/gpu.h"

#include <stdio.h>

#include "tensor/cuda/cuda_internal.h"
#include "tensor/cuda/cudnn_library.h"
#include "tensor/cuda/stream_internal.h"

// 13000 is 13.0.
static void write_version(int version, char text[GPU_TEXT_BYTES])
{
    if (version > 0)
        (void)snprintf(text, GPU_TEXT_BYTES, "%d.%d", version / 1000, version % 1000 / 10);
    else
        (void)snprintf(text, GPU_TEXT_BYTES, "none");
}

// Number of devices; 0 with the reason. Where there is no driver, none that is new enough, or none
// with a device, the call fails and leaves the count untouched.
static int count_devices(char reason[GPU_TEXT_BYTES])
{
    int n = 0;
    cudaError_t code = cudaGetDeviceCount(&n);
    if (code == cudaSuccess && n > 0) return n;
    (void)cudaGetLastError();
    if (code == cudaErrorStubLibrary || code == cudaErrorInsufficientDriver)
        (void)snprintf(reason, GPU_TEXT_BYTES,
                       "no NVIDIA driver, or one older than CUDA %d.%d wants (code %d)",
                       CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10, (int)code);
    else if (code == cudaErrorNoDevice || code == cudaSuccess)
        (void)snprintf(reason, GPU_TEXT_BYTES, "no NVIDIA GPU in this machine");
    else
        (void)snprintf(reason, GPU_TEXT_BYTES, "%s (code %d)", cudaGetErrorString(code), (int)code);
    return 0;
}

static void read_device(int i, struct gpu *out)
{
    struct cudaDeviceProp p;
    *out = (struct gpu){.name = "unknown"};
    if (cudaGetDeviceProperties(&p, i) != cudaSuccess) return;
    (void)snprintf(out->name, sizeof out->name, "%.*s", BACKEND_TEXT_BYTES - 1, p.name);
    out->major = p.major;
    out->minor = p.minor;
    out->memory_bytes = p.totalGlobalMem;
}

void gpu_find(struct gpu_list *out)
{
    int driver = 0;
    *out = (struct gpu_list){.built = true};
    write_version(CUDART_VERSION, out->runtime);
    if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
    write_version(driver, out->driver);
    out->n = count_devices(out->reason);
    if (out->n > GPU_MAX) out->n = GPU_MAX;
    for (int i = 0; i < out->n; i++) read_device(i, &out->gpu[i]);
}

bool gpu_describe_library(char text[GPU_TEXT_BYTES])
{
    struct cudnn_library *cudnn = NULL;
    if (cudnn_library_open(&cudnn) != OK) {
        (void)snprintf(text, GPU_TEXT_BYTES, "missing: %.200s", error_text());
        error_clear();
        return false;
    }
    cudnn_library_version(cudnn, text, GPU_TEXT_BYTES);
    cudnn_library_close(cudnn);
    return true;
}

status gpu_open(int number, bool tf32, bool deterministic, struct stream **out)
{
    char reason[GPU_TEXT_BYTES];
    int n = count_devices(reason);
    REQUIRE(n > 0, E_UNSUPPORTED, "%s", reason);
    REQUIRE(number >= 0 && number < n, E_UNSUPPORTED, "there is no GPU number %d, only %d of them",
            number, n);
    TRY(cuda_open(number, out));
    (*out)->tf32 = tf32;
    (*out)->deterministic = deterministic;
    return OK;
}

void *gpu_native_stream(const struct stream *s)
{
    return cuda_native(s);
}

int gpu_number(const struct stream *s)
{
    return s->device;
}

const struct backend_ops *gpu_backend(void)
{
    return &backend_cuda;
}

void cuda_describe(const struct stream *s, struct backend_description *out)
{
    struct gpu found;
    *out = (struct backend_description){.bytes_peak = s->bytes_peak};
    read_device(s->device, &found);
    (void)snprintf(out->device, sizeof out->device, "%s", found.name);
    (void)snprintf(out->library, sizeof out->library, "CUDA %d.%d", CUDART_VERSION / 1000,
                   CUDART_VERSION % 1000 / 10);
}
