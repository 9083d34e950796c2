// Memory that goes back to the system in whole pages, and what stays around it.
#include "core/mem.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/test.h"

enum { BYTES = 8 << 20 };

// Pages of p that take up memory.
static size_t resident(const unsigned char *p)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 0;
    static unsigned char in[BYTES / 512];
    uintptr_t begin = (uintptr_t)p / page * page + page;
    EXPECT(BYTES / page < sizeof in);
    EXPECT_EQ(mincore((void *)begin, BYTES - 2 * page, in), 0);
    for (size_t i = 0; i < BYTES / page - 2; i++) n += in[i] & 1;
    return n;
}

TEST(zeroing_any_part_of_a_block_leaves_the_rest)
{
    static const size_t begins[] = {0, 1, 4095, 4096, 4097},
                        sizes[] = {0, 1, 4096, 1 << 20, 5000001};
    unsigned char *p;
    EXPECT_OK(mem_alloc(&p, BYTES));
    for (size_t i = 0; i < COUNT(begins) * COUNT(sizes); i++) {
        size_t begin = begins[i % COUNT(begins)], n = sizes[i / COUNT(begins)], wrong = 0;
        memset(p, 7, BYTES);
        mem_zero(p + begin, n);
        for (size_t k = 0; k < BYTES; k++) wrong += p[k] != (k >= begin && k < begin + n ? 0 : 7);
        EXPECT_EQ(wrong, 0);
    }
    mem_free(p);
}

TEST(what_is_discarded_takes_no_memory)
{
    unsigned char *p;
    EXPECT_OK(mem_alloc(&p, BYTES));
    memset(p, 7, BYTES);
    size_t before = resident(p);
    mem_discard(p + 2 * 4096, 2 << 20);
    EXPECT(before >= BYTES / 4096 - 3);
    EXPECT(resident(p) + (2 << 20) / 4096 <= before + 1);
    EXPECT_EQ(p[0], 7);
    EXPECT_EQ(p[BYTES - 1], 7);
    mem_free(p);
}

TEST_MAIN()
