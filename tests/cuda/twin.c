// Buffers that exist on both sides.
#include "cuda/twin.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "ref/ref_arrays.h"
#include "support/test.h"

void twin_open(struct twin *t)
{
    *t = (struct twin){.cpu = &backend_cpu, .cuda = &backend_cuda};
    EXPECT_OK(t->cpu->open(1, &t->cpu_stream));
    EXPECT_OK(t->cuda->open(0, &t->stream));
}

void twin_close(struct twin *t)
{
    for (int i = 0; i < t->n; i++) {
        t->cuda->free(t->stream, t->device[i]);
        mem_free(t->host[i]);
    }
    t->cuda->close(t->stream);
    t->cpu->close(t->cpu_stream);
}

void *twin_from(struct twin *t, const void *from, size_t bytes)
{
    int i = t->n;
    char *host;
    ASSERT(i < TWIN_MAX);
    EXPECT_OK(mem_alloc(&host, bytes));
    if (bytes > 0) memcpy(host, from, bytes);
    t->host[i] = host;
    t->bytes[i] = bytes;
    EXPECT_OK(t->cuda->alloc(t->stream, bytes, &t->device[i]));
    EXPECT_OK(t->cuda->upload(t->stream, t->device[i], host, bytes));
    t->n++;
    return host;
}

void *twin_zeros(struct twin *t, size_t bytes)
{
    char *zeros;
    EXPECT_OK(mem_zalloc(&zeros, bytes));
    void *host = twin_from(t, zeros, bytes);
    mem_free(zeros);
    return host;
}

float *twin_normals(struct twin *t, uint64_t seed, size_t n)
{
    float *values;
    EXPECT_OK(mem_alloc(&values, n));
    ref_normals(seed, n, values);
    void *host = twin_from(t, values, n * sizeof *values);
    mem_free(values);
    return host;
}

static int find(const struct twin *t, const void *host)
{
    int i = 0;
    while (i < t->n && t->host[i] != host) i++;
    ASSERT(i < t->n);
    return i;
}

void *twin_device(const struct twin *t, const void *host)
{
    return host != NULL ? t->device[find(t, host)] : NULL;
}

static void *download(struct twin *t, const void *host, size_t *bytes)
{
    int i = find(t, host);
    char *got;
    EXPECT_OK(mem_alloc(&got, t->bytes[i]));
    EXPECT_OK(t->cuda->download(t->stream, got, t->device[i], t->bytes[i]));
    *bytes = t->bytes[i];
    return got;
}

void twin_same_bytes(struct twin *t, const void *host)
{
    size_t bytes;
    char *got = download(t, host, &bytes);
    for (size_t i = 0; i < bytes; i++)
        if (got[i] != ((const char *)host)[i]) {
            test_fail(__FILE__, __LINE__, "byte %zu of %zu differs", i, bytes);
            break;
        }
    mem_free(got);
}

void twin_same(struct twin *t, const void *host, size_t n_floats)
{
    size_t bytes;
    float *got = download(t, host, &bytes);
    const float *want = host;
    EXPECT(bytes >= n_floats * sizeof *got);
    for (size_t i = 0; i < n_floats; i++)
        if (memcmp(&got[i], &want[i], sizeof *got) != 0) {
            test_fail(__FILE__, __LINE__, "element %zu: got %.9g, want %.9g", i, (double)got[i],
                      (double)want[i]);
            break;
        }
    mem_free(got);
}

void twin_near(struct twin *t, const float *host, size_t n, double of_largest)
{
    size_t bytes;
    float *got = download(t, host, &bytes);
    EXPECT_CLOSE("device", got, host, n, .of_largest = of_largest);
    mem_free(got);
}
