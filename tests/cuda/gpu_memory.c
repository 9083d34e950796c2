// Shows a test program's own memory to the GPU, so that suites written for the CPU backend hand
// over plain pointers: its static data, a heap and a stack of its own are page-locked and mapped.
// What a slot queues is over when it returns: kernels by CUDA_LAUNCH_BLOCKING, copies here.
#include <cuda_runtime_api.h>
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/test.h"

enum { PAGE = 4096, HEADER = 64 };
static const size_t heap_bytes = (size_t)1 << 30, stack_bytes = (size_t)64 << 20;

static char *heap;
static atomic_size_t heap_used;

int __real_test_main(int argc, char **argv);
int __wrap_test_main(int argc, char **argv);
void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void __real_free(void *p);
void __wrap_free(void *p);
cudaError_t __real_cudaMemcpyAsync(void *to, const void *from, size_t bytes,
                                   enum cudaMemcpyKind kind, cudaStream_t s);
cudaError_t __wrap_cudaMemcpyAsync(void *to, const void *from, size_t bytes,
                                   enum cudaMemcpyKind kind, cudaStream_t s);
cudaError_t __real_cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t s);
cudaError_t __wrap_cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t s);

static void show(const char *what, void *begin, size_t bytes, unsigned flags)
{
    uintptr_t from = (uintptr_t)begin / PAGE * PAGE;
    uintptr_t to = ((uintptr_t)begin + bytes + PAGE - 1) / PAGE * PAGE;
    cudaError_t code = cudaHostRegister((void *)from, to - from, flags);
    if (code == cudaSuccess) return;
    printf("%s cannot be shown to the GPU: %s\n", what, cudaGetErrorString(code));
    (void)cudaGetLastError();
}

// The program itself comes first; constants lie in segments that cannot be written.
static int show_segments(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size, (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || (p->p_flags & PF_X) != 0) continue;
        const bool constant = (p->p_flags & PF_W) == 0;
        show(constant ? "constant data" : "data", (void *)(info->dlpi_addr + p->p_vaddr),
             p->p_memsz, cudaHostRegisterMapped | (constant ? cudaHostRegisterReadOnly : 0U));
    }
    return 1;
}

static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) abort();
    return p;
}

struct call {
    int argc, result;
    char **argv;
};

static void *run(void *arg)
{
    struct call *c = arg;
    c->result = __real_test_main(c->argc, c->argv);
    return NULL;
}

int __wrap_test_main(int argc, char **argv)
{
    struct call c = {.argc = argc, .argv = argv};
    pthread_attr_t attributes;
    pthread_t thread;
    int n = 0;
    if (cudaGetDeviceCount(&n) != cudaSuccess || n == 0) test_skip("no GPU");
    char *stack = map(stack_bytes), *memory = map(heap_bytes);
    dl_iterate_phdr(show_segments, NULL);
    show("the stack", stack, stack_bytes, cudaHostRegisterMapped);
    show("the heap", memory, heap_bytes, cudaHostRegisterMapped);
    heap = memory;
    if (pthread_attr_init(&attributes) != 0 ||
        pthread_attr_setstack(&attributes, stack, stack_bytes) != 0 ||
        pthread_create(&thread, &attributes, run, &c) != 0)
        abort();
    (void)pthread_join(thread, NULL);
    return c.result;
}

// The heap only grows: a suite's worth of memory is small. The size stands before each block.
void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    if (alignment < HEADER) alignment = HEADER;
    size_t room = (bytes + HEADER + 2 * alignment - 1) / alignment * alignment;
    size_t at = atomic_fetch_add(&heap_used, room);
    if (heap == NULL) return __real_malloc(bytes); // before the tests
    if (at + room > heap_bytes) return NULL;
    uintptr_t p = ((uintptr_t)heap + at + HEADER + alignment - 1) / alignment * alignment;
    memcpy((char *)p - HEADER, &bytes, sizeof bytes);
    return (void *)p;
}

static bool is_ours(const void *p)
{
    return heap != NULL && (const char *)p >= heap && (const char *)p < heap + heap_bytes;
}

void *__wrap_malloc(size_t bytes)
{
    return __wrap_aligned_alloc(HEADER, bytes);
}

void *__wrap_calloc(size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) return NULL;
    void *p = __wrap_malloc(bytes);
    return p != NULL ? memset(p, 0, bytes) : NULL;
}

void *__wrap_realloc(void *p, size_t bytes)
{
    size_t had = 0;
    void *q = __wrap_malloc(bytes);
    if (q == NULL || p == NULL) return q;
    if (!is_ours(p)) abort(); // nothing allocated before the tests grows in them
    memcpy(&had, (char *)p - HEADER, sizeof had);
    memcpy(q, p, had < bytes ? had : bytes);
    return q;
}

void __wrap_free(void *p)
{
    if (!is_ours(p)) __real_free(p);
}

cudaError_t __wrap_cudaMemcpyAsync(void *to, const void *from, size_t bytes,
                                   enum cudaMemcpyKind kind, cudaStream_t s)
{
    (void)kind; // the suite's memory is of either side
    cudaError_t code = __real_cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, s);
    return code == cudaSuccess ? cudaStreamSynchronize(s) : code;
}

cudaError_t __wrap_cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t s)
{
    cudaError_t code = __real_cudaMemsetAsync(to, value, bytes, s);
    return code == cudaSuccess ? cudaStreamSynchronize(s) : code;
}
