// The test harness.
#include "support/test.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"

static struct test_case *cases, **tail = &cases;
static int n_failures;

void test_register(struct test_case *c)
{
    *tail = c;
    tail = &c->next;
}

void test_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("  %s:%d: ", file, line);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    n_failures++;
}

_Noreturn void test_skip(const char *reason)
{
    printf("skipped: %s\n", reason);
    exit(TEST_SKIPPED);
}

const char *test_source_path(const char *relative)
{
    static char path[4096];
    const char *root = getenv("SHOAL_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/%s", root != NULL ? root : ".", relative);
    return path;
}

const char *test_shared_data(const char *relative)
{
    static char path[4096];
    const char *root = getenv("SHOAL_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/../shared/data/%s", root != NULL ? root : ".", relative);
    return access(path, R_OK) == 0 ? path : NULL;
}

static char folder[64];

const char *test_folder(void)
{
    if (folder[0] != '\0') return folder;
    strcpy(folder, "/tmp/shoal-test-XXXXXX");
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        exit(1);
    }
    return folder;
}

const char *test_path(const char *format, ...)
{
    static char paths[256][512];
    static int next;
    char *path = paths[next++ % 256];
    int used = snprintf(path, sizeof paths[0], "%s/", test_folder());
    va_list args;
    va_start(args, format);
    vsnprintf(path + used, sizeof paths[0] - (size_t)used, format, args);
    va_end(args);
    return path;
}

void test_copy_file(const char *from, const char *to)
{
    char *data = NULL;
    size_t n = 0;
    EXPECT_OK(file_read(from, &data, &n));
    EXPECT_OK(file_write(to, data, n));
    mem_free(data);
}

bool test_same_file(const char *a, const char *b)
{
    char *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    EXPECT_OK(file_read(a, &x, &n));
    EXPECT_OK(file_read(b, &y, &m));
    bool same = x != NULL && y != NULL && n == m && memcmp(x, y, n) == 0;
    mem_free(x);
    mem_free(y);
    return same;
}

static void remove_folder(void)
{
    char command[128];
    if (folder[0] == '\0') return;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0) printf("could not remove %s\n", folder);
}

int test_main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    int n_run = 0, n_bad = 0;
    for (struct test_case *c = cases; c != NULL; c = c->next) {
        if (argc > 1 && strstr(c->name, argv[1]) == NULL) continue;
        int before = n_failures;
        error_clear();
        c->run();
        printf("%s %s\n", n_failures == before ? "ok  " : "FAIL", c->name);
        n_bad += n_failures != before;
        n_run++;
    }
    printf("%d tests, %d failed\n", n_run, n_bad);
    if (n_run == 0) return 1;
    if (n_bad == 0) remove_folder();
    return n_bad > 0;
}

void test_expect_str(const char *file, int line, const char *what, const char *got,
                     const char *want)
{
    if (got == NULL || strcmp(got, want) != 0)
        test_fail(file, line, "%s = \"%s\", want \"%s\"", what, got == NULL ? "(null)" : got, want);
}

void test_expect_has(const char *file, int line, const char *got, const char *part)
{
    if (got == NULL || strstr(got, part) == NULL)
        test_fail(file, line, "\"%s\" does not contain \"%s\"", got == NULL ? "(null)" : got, part);
}

void test_close(const char *file, int line, const char *what, const float *got, const float *want,
                size_t n, struct tolerance tolerance)
{
    double square_difference = 0, square_want = 0, largest = 0, worst = 0;
    size_t worst_index = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)got[i] - (double)want[i]);
        square_difference += difference * difference;
        square_want += (double)want[i] * (double)want[i];
        largest = fmax(largest, fabs((double)want[i]));
        if (difference > worst || isnan(difference)) {
            worst = difference;
            worst_index = i;
            if (isnan(difference)) break;
        }
    }
    double l2 = square_want > 0 ? sqrt(square_difference / square_want) : sqrt(square_difference);
    bool l2_bad = tolerance.relative_l2 > 0 && !(l2 <= tolerance.relative_l2);
    bool element_bad =
        tolerance.of_largest > 0 && !(worst <= tolerance.of_largest * (largest > 0 ? largest : 1));
    if (n > 0 && (l2_bad || element_bad || isnan(worst)))
        test_fail(file, line,
                  "%s: relative L2 %.3g (allowed %.3g); element %zu of %zu: %.9g, want %.9g, "
                  "largest %.3g",
                  what, l2, tolerance.relative_l2, worst_index, n, (double)got[worst_index],
                  (double)want[worst_index], largest);
}
