// A small test harness: tests register themselves, checks print both values and go on.
//
//   TEST(iou_is_symmetric) { EXPECT_EQ(iou(a, b), iou(b, a)); }
//   TEST_MAIN()
#ifndef SHOAL_TESTS_SUPPORT_TEST_H
#define SHOAL_TESTS_SUPPORT_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

enum { TEST_SKIPPED = 77 };

struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
};

void test_register(struct test_case *c);
// Runs the tests whose names contain argv[1] (all without it); 0 when all passed.
int test_main(int argc, char **argv);

#define TEST(name)                                                                                 \
    static void name(void);                                                                        \
    static struct test_case case_##name = {#name, name, NULL};                                     \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        test_register(&case_##name);                                                               \
    }                                                                                              \
    static void name(void)

#define TEST_MAIN()                                                                                \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return test_main(argc, argv);                                                              \
    }

// Marks the running test as failed.
void test_fail(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4);
// Ends the whole program as skipped, saying why.
_Noreturn void test_skip(const char *reason);

// $SHOAL_SOURCE_DIR/relative. Valid until the next call.
const char *test_source_path(const char *relative);
// relative below the optional data folder next to the checkout; NULL where it is missing.
const char *test_shared_data(const char *relative);
// A fresh folder for this test program, removed when it ends without failure.
const char *test_folder(void);
// test_folder()/name, in one of 256 buffers that take turns.
const char *test_path(const char *format, ...) PRINTF_LIKE(1, 2);
// Both report a file that cannot be read or written as a failure.
void test_copy_file(const char *from, const char *to);
bool test_same_file(const char *a, const char *b);

struct tolerance {
    double relative_l2; // |got - want| / |want| over the whole array; 0 = not checked
    double of_largest;  // each element within this times the largest |want|; 0 = not checked
};
// Compares arrays; prints the worst element. NaN on either side fails.
void test_close(const char *file, int line, const char *what, const float *got, const float *want,
                size_t n, struct tolerance tolerance);

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) test_fail(__FILE__, __LINE__, "%s", #condition);                         \
    } while (0)
#define EXPECT_EQ(a, b)                                                                            \
    do {                                                                                           \
        long long got_ = (long long)(a), want_ = (long long)(b);                                   \
        if (got_ != want_)                                                                         \
            test_fail(__FILE__, __LINE__, "%s = %lld, want %s = %lld", #a, got_, #b, want_);       \
    } while (0)
#define EXPECT_NEAR(a, b, tolerance)                                                               \
    do {                                                                                           \
        double got_ = (double)(a), want_ = (double)(b);                                            \
        if (!(got_ - want_ <= (tolerance) && want_ - got_ <= (tolerance)))                         \
            test_fail(__FILE__, __LINE__, "%s = %.9g, want %.9g within %g", #a, got_, want_,       \
                      (double)(tolerance));                                                        \
    } while (0)
#define EXPECT_STR(a, b) test_expect_str(__FILE__, __LINE__, #a, (a), (b))
// got contains part.
#define EXPECT_HAS(got, part) test_expect_has(__FILE__, __LINE__, (got), (part))
#define EXPECT_OK(call)                                                                            \
    do {                                                                                           \
        status got_ = (call);                                                                      \
        if (got_ != OK)                                                                            \
            test_fail(__FILE__, __LINE__, "%s: %s: %s", #call, status_name(got_), error_text());   \
    } while (0)
#define EXPECT_STATUS(call, want)                                                                  \
    do {                                                                                           \
        status got_ = (call);                                                                      \
        if (got_ != (want))                                                                        \
            test_fail(__FILE__, __LINE__, "%s = %s, want %s", #call, status_name(got_),            \
                      status_name(want));                                                          \
    } while (0)
#define EXPECT_CLOSE(what, got, want, n, ...)                                                      \
    test_close(__FILE__, __LINE__, (what), (got), (want), (n), (struct tolerance){__VA_ARGS__})

void test_expect_str(const char *file, int line, const char *what, const char *got,
                     const char *want);
void test_expect_has(const char *file, int line, const char *got, const char *part);

#endif
