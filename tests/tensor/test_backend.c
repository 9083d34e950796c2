// Every slot of every backend's table is filled: the compiler does not say what was left out.
#include <string.h>

#include "support/test.h"
#include "tensor/backend.h"

// From here to its end the table holds nothing but function pointers, in the struct's order.
enum { FIRST_SLOT = offsetof(struct backend_ops, open) };

static void check_table(const struct backend_ops *ops)
{
    const unsigned char *bytes = (const unsigned char *)ops;
    void (*slot)(void);
    EXPECT((sizeof *ops - FIRST_SLOT) % sizeof slot == 0);
    for (size_t at = FIRST_SLOT; at < sizeof *ops; at += sizeof slot) {
        memcpy(&slot, bytes + at, sizeof slot);
        if (slot == NULL)
            test_fail(__FILE__, __LINE__, "%s: slot %zu is empty", ops->name,
                      (at - FIRST_SLOT) / sizeof slot);
    }
}

TEST(no_slot_of_the_cpu_table_is_empty)
{
    EXPECT_STR(backend_cpu.name, "cpu");
    check_table(&backend_cpu);
}

TEST_MAIN()
