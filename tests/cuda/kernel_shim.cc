// The scheduler behind kernel_shim.h. Built without -fsanitize=thread even where kernels have it.
//
// A block's threads are fibers on one OS thread. Each runs until it must wait (barrier, warp
// exchange) or ends; who runs next is drawn anew in every barrier interval. Running each thread as
// far ahead as it can get, in many orders, is what makes a missing __syncthreads() show:
// SHIM_ORDER=0 ascending, 1 descending, n > 1 random with seed n.
// Ends the program with exit status 86 and FILE:LINE at: threads of a block waiting at different
// barriers, a warp exchange whose lanes never all come (deadlock on a GPU), a lane outside its own
// mask, lanes of one exchange at different calls.
//
// Under AddressSanitizer every shared array is its own heap block, with its own red zones. Under
// ThreadSanitizer each CUDA thread is a fiber of its own without order towards the others; only
// __syncthreads and __syncwarp order (a shuffle does not, as in CUDA's memory model), so races
// between threads of a block, between blocks and between streams are reported whatever the order of
// the run. SHIM_ONE_THREAD=1: a launch is one thread to it, its stream's, which costs a hundredth
// and leaves the races between streams.
#include "cuda/kernel_shim.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <sys/mman.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

extern "C" { // present when ThreadSanitizer is linked
void *__tsan_get_current_fiber() __attribute__((weak));
void *__tsan_create_fiber(unsigned) __attribute__((weak));
void __tsan_destroy_fiber(void *) __attribute__((weak));
void __tsan_switch_to_fiber(void *, unsigned) __attribute__((weak));
void __tsan_acquire(void *) __attribute__((weak));
void __tsan_release(void *) __attribute__((weak));
void AnnotateIgnoreWritesBegin(const char *, int) __attribute__((weak));
void AnnotateIgnoreWritesEnd(const char *, int) __attribute__((weak));
// Saves what a call preserves on the stack, stores the stack's place and goes on at another's.
void shim_switch(void **from, void *to);
}

#if !defined(__x86_64__)
#error "the kernel tests switch stacks in x86-64 assembly"
#endif
asm(R"(
.text
.globl shim_switch
.type shim_switch, @function
shim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size shim_switch, .-shim_switch
)");

namespace shim
{
namespace
{

constexpr size_t stack_bytes = 64 << 10;
constexpr int most_threads = 1024, saved_registers = 6;
enum class wait { no, barrier, warp, done };

struct fiber {
    index where;
    void *stack_pointer;
    wait waits;
    place at;
    void *asan_stack, *tsan;
    uint64_t given[32]; // the last exchange's values
};

struct pending {
    op kind;
    unsigned mask, arrived;
    place at;
    uint64_t value[32];
};

struct warp {
    std::vector<pending> exchanges;
    char *order;
};

struct shared_block {
    const void *tag;
    std::unique_ptr<char[]> bytes;
};

struct block_state {
    std::unique_ptr<fiber[]> threads;
    int n_threads = 0;
    std::vector<warp> warps;
    std::vector<shared_block> arrays;
    std::deque<void *>
        ended; // TSan's: one destroyed may come back as another block's, hiding a race
    std::unique_ptr<char[]> dynamic;
    void *scheduler_stack = nullptr;
    fiber *running = nullptr;
    void *scheduler_tsan = nullptr, *asan_fake = nullptr;
    const void *asan_bottom = nullptr;
    size_t asan_size = 0;
    char *order = nullptr;                // its address names the block's barrier to TSan
    char started = 0, done = 0, made = 0; // the launch's two ends, the making of shared arrays
    void (*call)(void *) = nullptr;
    void *arg = nullptr;
    const char *name = nullptr;
};

thread_local block_state *block;

// Set before main: a static of a function would be guarded, and TSan take two streams that come
// past the guard for ordered.
const bool fibers_apart = __tsan_create_fiber && getenv("SHIM_ONE_THREAD") == nullptr;

thread_local char *stacks; // kept from launch to launch, one per CUDA thread of a block

[[noreturn]] void fail(const char *what, place a, place b)
{
    fprintf(stderr, "kernel %s, block (%u,%u,%u): %s: %s:%d and %s:%d\n", block->name,
            self->block.x, self->block.y, self->block.z, what, a.file, a.line, b.file, b.line);
    fflush(stderr);
    _Exit(86);
}

void to_scheduler([[maybe_unused]] bool for_ever)
{
    fiber *f = block->running;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(for_ever ? nullptr : &f->asan_stack, block->asan_bottom,
                                   block->asan_size);
#endif
    // 1: the switch itself orders nothing.
    if (fibers_apart) __tsan_switch_to_fiber(block->scheduler_tsan, 1);
    shim_switch(&f->stack_pointer, block->scheduler_stack);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(f->asan_stack, &block->asan_bottom, &block->asan_size);
#endif
}

void fiber_main()
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &block->asan_bottom, &block->asan_size);
#endif
    if (__tsan_acquire) __tsan_acquire(&block->started);
    block->call(block->arg);
    if (__tsan_release) __tsan_release(&block->done);
    block->running->waits = wait::done;
    to_scheduler(true);
}

void run(fiber *f, [[maybe_unused]] char *stack)
{
    block->running = f;
    self = &f->where;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&block->asan_fake, stack, stack_bytes);
#endif
    if (fibers_apart) __tsan_switch_to_fiber(f->tsan, 1);
    shim_switch(&block->scheduler_stack, f->stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(block->asan_fake, nullptr, nullptr);
#endif
}

// While one lives, what the shim does for a CUDA thread counts as done by nobody in particular.
struct as_scheduler {
    as_scheduler()
    {
        if (fibers_apart) __tsan_switch_to_fiber(block->scheduler_tsan, 1);
    }
    ~as_scheduler()
    {
        if (fibers_apart) __tsan_switch_to_fiber(block->running->tsan, 1);
    }
};

uint64_t next(uint64_t *state) // splitmix64
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

void draw_order(std::vector<int> &order, unsigned long mode, uint64_t *state)
{
    size_t n = order.size();
    for (size_t i = 0; i < n; i++) order[i] = static_cast<int>(mode == 1 ? n - 1 - i : i);
    for (size_t i = n - 1; mode > 1 && i > 0; i--)
        std::swap(order[i], order[next(state) % (i + 1)]);
}

// An address that no earlier block has used: TSan remembers what an address stood for.
char *new_token()
{
    static char tokens[8 << 20];
    static unsigned used;
    return &tokens[__atomic_fetch_add(&used, 8, __ATOMIC_RELAXED) % sizeof tokens];
}

// Under TSan mapped anew for every block: that clears what it remembers of the last block's frames.
void fresh_stacks(int threads)
{
    if (stacks != nullptr && !fibers_apart) return;
    int n = stacks == nullptr ? most_threads : threads;
    int fixed = stacks != nullptr ? MAP_FIXED : 0;
    void *p = mmap(stacks, static_cast<size_t>(n) * stack_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);
    stacks = static_cast<char *>(p);
}

// All who still live are at the barrier (or the block has a bug): let them go on.
void release_barrier()
{
    fiber *first = nullptr, *stuck = nullptr;
    for (int i = 0; i < block->n_threads; i++) {
        fiber *f = &block->threads[i];
        if (f->waits == wait::warp) stuck = f;
        if (f->waits != wait::barrier) continue;
        if (first != nullptr && (first->at.line != f->at.line || first->at.file != f->at.file))
            fail("threads wait at different barriers", first->at, f->at);
        first = f;
    }
    if (stuck != nullptr)
        fail("a warp exchange whose other lanes never come", stuck->at,
             first != nullptr ? first->at : stuck->at);
    for (int i = 0; i < block->n_threads; i++)
        if (block->threads[i].waits == wait::barrier) block->threads[i].waits = wait::no;
}

void end_oldest()
{
    if (__tsan_destroy_fiber) __tsan_destroy_fiber(block->ended.front());
    block->ended.pop_front();
}

void start_fiber(int i, dim3 at, dim3 grid, dim3 dim)
{
    fiber *f = &block->threads[i];
    unsigned u = static_cast<unsigned>(i);
    f->where = {dim3(u % dim.x, u / dim.x % dim.y, u / (dim.x * dim.y)), at, dim, grid};
    f->waits = wait::no;
    f->at = {"kernel's start", 0};
    f->asan_stack = f->tsan = nullptr;
    // The stack as shim_switch leaves it: saved registers below the place to go on at. Behind that
    // a return address that nobody takes, so that the stack is aligned as after a call.
    void **top = reinterpret_cast<void **>(stacks + static_cast<size_t>(i + 1) * stack_bytes);
    top[-1] = nullptr;
    top[-2] = reinterpret_cast<void *>(fiber_main);
    for (int k = 0; k < saved_registers; k++) top[-3 - k] = nullptr;
    f->stack_pointer = &top[-2 - saved_registers];
    if (fibers_apart) f->tsan = __tsan_create_fiber(0);
}

void prepare_block(dim3 at, dim3 grid, dim3 dim, size_t bytes)
{
    int n = static_cast<int>(dim.x * dim.y * dim.z);
    // The last block's memory is freed here; blocks have no order, and need none for that.
    if (AnnotateIgnoreWritesBegin) AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    if (n != block->n_threads) block->threads.reset(new fiber[static_cast<size_t>(n)]);
    block->n_threads = n;
    block->warps = std::vector<warp>(static_cast<size_t>(n + 31) / 32);
    block->arrays.clear();
    block->order = new_token();
    for (warp &w : block->warps) w.order = new_token();
    fresh_stacks(n);
    block->dynamic.reset(new char[bytes]);
    memset(block->dynamic.get(), 0xff, bytes);
    for (int i = 0; i < n; i++) start_fiber(i, at, grid, dim);
    if (AnnotateIgnoreWritesEnd) AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
}

// One turn: everybody runs until nobody can go on. Says how many ended.
int run_turn(const std::vector<int> &order)
{
    int ended = 0;
    for (bool progress = true; progress;) {
        progress = false;
        for (int i : order) {
            fiber *f = &block->threads[i];
            if (f->waits != wait::no) continue;
            run(f, stacks + static_cast<size_t>(i) * stack_bytes);
            progress = true;
            ended += f->waits == wait::done;
        }
    }
    return ended;
}

void run_block(dim3 at, dim3 grid, dim3 dim, size_t bytes, unsigned long mode, uint64_t *state)
{
    prepare_block(at, grid, dim, bytes);
    std::vector<int> order(static_cast<size_t>(block->n_threads));
    for (int live = block->n_threads; live > 0;) {
        draw_order(order, mode, state);
        live -= run_turn(order);
        if (live > 0) release_barrier();
    }
    if (!fibers_apart) return;
    for (int i = 0; i < block->n_threads; i++) block->ended.push_back(block->threads[i].tsan);
    while (block->ended.size() > 4096) end_oldest();
}

} // namespace

thread_local index *self;

void barrier(place at)
{
    block_state *b = block;
    if (__tsan_release) __tsan_release(b->order);
    b->running->waits = wait::barrier;
    b->running->at = at;
    to_scheduler(false);
    if (__tsan_acquire) __tsan_acquire(b->order);
}

unsigned lane()
{
    return static_cast<unsigned>(block->running - block->threads.get()) % 32;
}

// Enters this lane's value; true when all lanes of the mask have come.
static bool join(op kind, unsigned mask, uint64_t value, place at)
{
    as_scheduler nobody;
    fiber *f = block->running;
    size_t me = static_cast<size_t>(f - block->threads.get()), first = me / 32 * 32;
    size_t lanes = std::min<size_t>(static_cast<size_t>(block->n_threads) - first, 32);
    warp *w = &block->warps[me / 32];
    // The last, partial warp: lanes that do not exist count as having come.
    if (lanes < 32 && mask == ~0U) mask = (1U << lanes) - 1;
    if ((mask >> me % 32 & 1U) == 0) fail("a lane outside its own mask", at, at);
    size_t i = 0;
    while (i < w->exchanges.size() && w->exchanges[i].mask != mask) i++;
    if (i == w->exchanges.size()) w->exchanges.push_back({kind, mask, 0, at, {}});
    pending *p = &w->exchanges[i];
    if (p->kind != kind || p->at.line != at.line)
        fail("lanes of one exchange at different calls", p->at, at);
    p->arrived |= 1U << me % 32;
    p->value[me % 32] = value;
    f->at = at;
    if (p->arrived != mask) {
        f->waits = wait::warp;
        return false;
    }
    for (size_t t = first; t < first + lanes; t++)
        if (mask >> t % 32 & 1U) {
            memcpy(block->threads[t].given, p->value, sizeof p->value);
            block->threads[t].waits = wait::no;
        }
    w->exchanges.erase(w->exchanges.begin() + static_cast<long>(i));
    return true;
}

const uint64_t *exchange(op kind, unsigned mask, uint64_t value, place at)
{
    fiber *f = block->running;
    warp *w = &block->warps[static_cast<size_t>(f - block->threads.get()) / 32];
    if (kind == op::sync && __tsan_release) __tsan_release(w->order);
    if (!join(kind, mask, value, at)) to_scheduler(false);
    if (kind == op::sync && __tsan_acquire) __tsan_acquire(w->order);
    return f->given;
}

static void *find_or_make(const void *tag, size_t bytes)
{
    as_scheduler nobody;
    for (auto &a : block->arrays)
        if (a.tag == tag) return a.bytes.get();
    block->arrays.push_back({tag, std::unique_ptr<char[]>(new char[bytes])});
    memset(block->arrays.back().bytes.get(), 0xff, bytes);
    if (__tsan_release) __tsan_release(&block->made);
    return block->arrays.back().bytes.get();
}

void *shared_array(const void *tag, size_t bytes)
{
    void *p = find_or_make(tag, bytes);
    if (__tsan_acquire) __tsan_acquire(&block->made);
    return p;
}

void *dynamic_shared()
{
    return block->dynamic.get();
}

void run_grid(const char *name, dim3 grid, dim3 dim, size_t bytes, void (*call)(void *), void *arg)
{
    const char *text = getenv("SHIM_ORDER");
    unsigned long mode = text != nullptr ? strtoul(text, nullptr, 10) : 2;
    uint64_t state = mode;
    block_state b;
    block = &b;
    b.call = call;
    b.arg = arg;
    b.name = name;
    if (__tsan_release) __tsan_release(&b.started);
    b.scheduler_tsan = __tsan_get_current_fiber ? __tsan_get_current_fiber() : nullptr;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++)
                run_block(dim3(x, y, z), grid, dim, bytes, mode, &state);
    if (__tsan_acquire) __tsan_acquire(&b.done);
    while (!b.ended.empty()) end_oldest();
    block = nullptr;
    self = nullptr;
}

} // namespace shim
