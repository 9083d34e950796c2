// Checked allocation with an injectable fault.
#include "core/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MEM_ALIGNMENT = 64, MEM_LARGE = 1 << 20 };

static atomic_llong n_allocs;
static atomic_llong fail_at; // absolute number of the allocation that fails; 0 = none

static bool must_fail(void)
{
    long long number = atomic_fetch_add(&n_allocs, 1) + 1;
    return number == atomic_load(&fail_at);
}

void mem_fail_at(int64_t n)
{
    atomic_store(&fail_at, n == 0 ? 0 : atomic_load(&n_allocs) + n);
}

int64_t mem_n_allocs(void)
{
    return atomic_load(&n_allocs);
}

status mem_size(size_t n, size_t size, size_t *bytes)
{
    REQUIRE(!__builtin_mul_overflow(n, size, bytes), E_NOMEM,
            "out of memory: %zu elements of %zu bytes are more than can be addressed", n, size);
    return OK;
}

// Stores q where pp points, whatever the pointer's type, without breaking the aliasing rules.
static status hand_over(void *q, size_t bytes, void *pp)
{
    REQUIRE(q != NULL, E_NOMEM, "out of memory: %zu bytes refused by the system", bytes);
    memcpy(pp, &q, sizeof q);
    return OK;
}

status mem_alloc_bytes(size_t n, size_t size, void *pp)
{
    size_t bytes;
    TRY(mem_size(n, size, &bytes));
    return hand_over(must_fail() ? NULL : malloc(bytes > 0 ? bytes : 1), bytes, pp);
}

status mem_zalloc_bytes(size_t n, size_t size, void *pp)
{
    size_t bytes;
    TRY(mem_size(n, size, &bytes));
    return hand_over(must_fail() ? NULL : calloc(bytes > 0 ? bytes : 1, 1), bytes, pp);
}

status mem_resize_bytes(size_t n, size_t size, void *pp)
{
    size_t bytes;
    void *old;
    TRY(mem_size(n, size, &bytes));
    memcpy(&old, pp, sizeof old);
    return hand_over(must_fail() ? NULL : realloc(old, bytes > 0 ? bytes : 1), bytes, pp);
}

status mem_grow_bytes(size_t n, size_t size, size_t *capacity, void *pp)
{
    if (n <= *capacity) return OK;
    size_t wanted = *capacity < 8 ? 8 : *capacity;
    while (wanted < n) wanted = wanted > SIZE_MAX / 2 ? n : wanted * 2;
    TRY(mem_resize_bytes(wanted, size, pp));
    *capacity = wanted;
    return OK;
}

status mem_alloc_aligned(size_t bytes, void *pp)
{
    REQUIRE(bytes <= SIZE_MAX - MEM_ALIGNMENT, E_NOMEM, "out of memory: %zu bytes asked for",
            bytes);
    size_t rounded = (bytes + MEM_ALIGNMENT) / MEM_ALIGNMENT * MEM_ALIGNMENT;
    return hand_over(must_fail() ? NULL : aligned_alloc(MEM_ALIGNMENT, rounded), bytes, pp);
}

// Pages that lie whole in a large block, given back: they read as zeros from now on. Anonymous
// private memory is all that malloc hands out.
static bool give_pages_back(char *p, size_t bytes, size_t *before, size_t *after)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (bytes < MEM_LARGE) return false;
    *before = (page - (uintptr_t)p % page) % page;
    *after = ((uintptr_t)p + bytes) % page;
    return madvise(p + *before, bytes - *before - *after, MADV_DONTNEED) == 0;
}

void mem_zero(void *p, size_t bytes)
{
    size_t before, after;
    if (!give_pages_back(p, bytes, &before, &after)) {
        if (bytes > 0) memset(p, 0, bytes);
        return;
    }
    memset(p, 0, before);
    memset((char *)p + bytes - after, 0, after);
}

void mem_discard(void *p, size_t bytes)
{
    size_t before, after;
    (void)give_pages_back(p, bytes, &before, &after);
}

status mem_strdup(const char *s, char **out)
{
    size_t bytes = strlen(s) + 1;
    TRY(mem_alloc_bytes(bytes, 1, out));
    memcpy(*out, s, bytes);
    return OK;
}

status mem_printf(char **out, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *s = NULL;
    status st = length < 0 ? E_ARG : mem_alloc_bytes((size_t)length + 1, 1, &s);
    if (st == OK) {
        (void)vsnprintf(s, (size_t)length + 1, format, again);
        *out = s;
    }
    va_end(again);
    return st;
}

void mem_free(void *p)
{
    free(p);
}

// glibc raises the size from which blocks are mapped by themselves with each such block that is
// freed; what comes below then stays as holes in the heap: 45 MiB of a training run of ResNet-50.
enum { MAPPED_FROM = 4 << 20 };

void mem_init(void)
{
#ifdef M_MMAP_THRESHOLD
    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
#endif
}
