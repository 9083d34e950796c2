// Errors: one line, a back trace, carried from thread to thread; memory faults on request.
#include "core/mem.h"

#include <string.h>

#include "support/test.h"

static status deep(int x)
{
    REQUIRE(x > 0, E_ARG, "x is %d,\nwant > 0", x);
    return OK;
}

static status shallow(int x)
{
    TRY(deep(x));
    return OK;
}

TEST(the_message_is_one_line_and_frames_name_the_calls)
{
    EXPECT_STATUS(shallow(0), E_ARG);
    EXPECT_STR(error_text(), "x is 0, want > 0");
    EXPECT_HAS(error_frames(), "deep(x)");
    error_prefix("file %s", "a.yaml");
    EXPECT_STR(error_text(), "file a.yaml: x is 0, want > 0");
    struct error kept;
    error_save(E_ARG, &kept);
    error_clear();
    EXPECT_STR(error_text(), "");
    EXPECT_STATUS(error_restore(&kept), E_ARG);
    EXPECT_STR(error_text(), "file a.yaml: x is 0, want > 0");
}

TEST(a_failing_allocation_changes_nothing)
{
    int *p = NULL;
    EXPECT_OK(mem_alloc(&p, 3));
    p[2] = 7;
    int *before = p;
    mem_fail_at(1);
    EXPECT_STATUS(mem_resize(&p, 1000), E_NOMEM);
    EXPECT(p == before && p[2] == 7);
    EXPECT_OK(mem_resize(&p, 1000));
    EXPECT_STATUS(mem_resize(&p, SIZE_MAX / 2), E_NOMEM);
    mem_free(p);
}

TEST_MAIN()
