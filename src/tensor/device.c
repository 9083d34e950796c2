// Devices: a backend, its stream and its pool, opened and closed together.
#include "tensor/device.h"

#include "core/log.h"
#include "core/mem.h"
#include "tensor/cpu/cpu_internal.h"
#include "tensor/gpu.h"

static status check_bf16(struct device *d)
{
    bool emulated = false;
    TRY(cpu_check_bf16(d->stream, &emulated));
    if (emulated)
        log_warn("bf16 is emulated on this processor and slower than fp32: it has neither "
                 "AVX512_BF16 nor AMX");
    return OK;
}

status device_open_cpu(int threads, enum dtype compute, struct device **out)
{
    REQUIRE(compute == DTYPE_F32 || compute == DTYPE_BF16, E_ARG,
            "device cpu: cannot compute in %s, only in fp32 or bf16", dtype_name(compute));
    struct device *d = NULL;
    TRY(mem_zalloc(&d, 1));
    status st = OK;
    d->ops = &backend_cpu;
    d->compute = compute;
    TRY_GOTO(st, d->ops->open(threads, &d->stream), out);
    if (compute == DTYPE_BF16) TRY_GOTO(st, check_bf16(d), out);
    TRY_GOTO(st, pool_create(d->ops, d->stream, &d->pool), out);
    *out = d;
    d = NULL;
out:
    device_close(d);
    return st;
}

status device_open_gpu(int number, enum dtype compute, bool tf32, bool deterministic,
                       struct device **out)
{
    REQUIRE(compute == DTYPE_F32 || compute == DTYPE_BF16, E_ARG,
            "device cuda: cannot compute in %s, only in fp32, tf32 or bf16", dtype_name(compute));
    struct stream *stream;
    TRY(gpu_open(number, tf32, deterministic, &stream));
    struct device *d = NULL;
    status st = OK;
    TRY_GOTO(st, mem_zalloc(&d, 1), fail);
    d->ops = gpu_backend();
    d->compute = compute;
    d->stream = stream;
    TRY_GOTO(st, pool_create(d->ops, d->stream, &d->pool), fail);
    *out = d;
    return OK;
fail:
    mem_free(d);
    gpu_backend()->close(stream);
    return st;
}

void device_close(struct device *d)
{
    if (d == NULL) return;
    pool_destroy(d->pool);
    d->ops->close(d->stream);
    mem_free(d);
}
