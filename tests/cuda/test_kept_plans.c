// Plans that outlive the process, and plans chosen by measurement, over the double of cuDNN: it
// counts what it is asked for, and one of its engines is quicker than the others.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "support/test.h"
#include "tensor/gpu.h"

enum { N = 4 * 4 * 8 };

static const struct conv2d_desc conv = {
    .n = 1, .h = 4, .w = 4, .c = 8, .k = 8, .r = 1, .s = 1, .stride = 1, .ho = 4, .wo = 4};

// One convolution on a device opened for it, as a process of its own would: y[0] is 8 * 2.
static void convolve(bool tf32, bool deterministic)
{
    static float x[N], w[64], y[N];
    struct stream *s = NULL;
    for (int i = 0; i < N; i++) x[i] = 1, y[i] = -1;
    for (int i = 0; i < 64; i++) w[i] = 2;
    EXPECT_OK(gpu_open(0, tf32, deterministic, &s));
    EXPECT_OK(backend_cuda.conv2d(s, &conv, x, (struct weights){w, 0}, NULL, NULL, y));
    EXPECT_OK(backend_cuda.wait(s));
    EXPECT_NEAR(y[0], 16, 0);
    EXPECT_NEAR(y[N - 1], 16, 0);
    backend_cuda.close(s);
}

static char folder[256], counts[256];

// An empty cache under name; what the double is asked for is counted anew.
static void begin(const char *name)
{
    (void)snprintf(folder, sizeof folder, "%s", test_path("%s", name));
    (void)snprintf(counts, sizeof counts, "%s", test_path("%s.count", name));
    setenv("SHOAL_CACHE_DIR", folder, 1);
    setenv("FAKE_CUDNN_COUNT", counts, 1);
    unsetenv("FAKE_CUDNN_ENGINES");
    unsetenv("FAKE_CUDNN_QUICKEST");
    unsetenv("SHOAL_AUTOTUNE");
}

// What was asked for since the last look, as the double's letters.
static const char *asked(void)
{
    static char text[256];
    char *data = NULL;
    size_t n = 0;
    text[0] = '\0';
    if (!file_exists(counts)) return text;
    EXPECT_OK(file_read(counts, &data, &n));
    (void)snprintf(text, sizeof text, "%s", data);
    mem_free(data);
    EXPECT_EQ(unlink(counts), 0);
    return text;
}

// The one file of the cache, and how many there are.
static int find_plan(char path[512])
{
    char plans[300];
    path[0] = '\0';
    int n = 0;
    (void)snprintf(plans, sizeof plans, "%s/plans", folder);
    DIR *d = opendir(plans);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        (void)snprintf(path, 512, "%.290s/%.200s", plans, e->d_name);
        n++;
    }
    if (d != NULL) (void)closedir(d);
    return n;
}

// Which engine the kept plan is of: "ms T\nbytes N hash H\n( TYPE ENGINE ..." in the file.
static int kept_engine(float *ms)
{
    char path[512], *data = NULL;
    size_t n;
    int engine = -1;
    EXPECT_EQ(find_plan(path), 1);
    if (file_read(path, &data, &n) != OK) return -1;
    const char *at = strstr(data, "\nms ");
    EXPECT(at != NULL && sscanf(at, "\nms %f bytes %*d hash %*x ( %*d %d", ms, &engine) == 2);
    mem_free(data);
    return engine;
}

TEST(a_plan_is_made_once_and_restored_by_the_next_process)
{
    begin("kept");
    convolve(true, true);
    EXPECT_STR(asked(), "hp");
    convolve(true, true);
    EXPECT_STR(asked(), "t");
    convolve(false, true); // strict fp32 is another graph: the first engine rounds
    EXPECT_STR(asked(), "hhp");
}

TEST(nothing_is_kept_where_the_folder_is_set_to_nothing)
{
    begin("nowhere");
    setenv("SHOAL_CACHE_DIR", "", 1);
    convolve(true, true);
    convolve(true, true);
    EXPECT_STR(asked(), "hphp");
}

static void spoil(void (*change)(char *data, size_t *n))
{
    char path[512], *data = NULL;
    size_t n;
    EXPECT_EQ(find_plan(path), 1);
    if (file_read(path, &data, &n) != OK) return;
    change(data, &n);
    EXPECT_OK(file_write(path, data, n));
    mem_free(data);
}

static void cut(char *data, size_t *n)
{
    (void)data;
    *n -= 5;
}

static void flip(char *data, size_t *n)
{
    data[*n - 3] ^= 1;
}

static void rename_device(char *data, size_t *n)
{
    (void)n;
    memcpy(strstr(data, "fake device"), "real", 4);
}

static void empty(char *data, size_t *n)
{
    (void)data;
    *n = 0;
}

TEST(a_damaged_or_foreign_file_is_passed_over_and_replaced)
{
    void (*const changes[])(char *, size_t *) = {cut, flip, rename_device, empty};
    begin("spoilt");
    convolve(true, true);
    EXPECT_STR(asked(), "hp");
    for (size_t i = 0; i < COUNT(changes); i++) {
        spoil(changes[i]);
        convolve(true, true);
        EXPECT_STR(asked(), "hp");
        convolve(true, true);
        EXPECT_STR(asked(), "t");
    }
}

TEST(a_folder_that_cannot_be_written_costs_the_plans_alone)
{
    begin("file");
    EXPECT_OK(file_write(folder, "", 0)); // not a folder
    convolve(true, true);
    convolve(true, true);
    EXPECT_STR(asked(), "hphp");
}

TEST(processes_that_start_together_leave_one_whole_file)
{
    enum { PROCESSES = 6 };
    char path[512];
    begin("together");
    fflush(stdout);
    for (int i = 0; i < PROCESSES; i++)
        if (fork() == 0) {
            convolve(true, true);
            _exit(0);
        }
    for (int i = 0, code; i < PROCESSES; i++) EXPECT(wait(&code) > 0 && code == 0);
    EXPECT_EQ(find_plan(path), 1);
    (void)asked();
    convolve(true, true);
    EXPECT_STR(asked(), "t");
}

static void measure_with(const char *engines, const char *quickest)
{
    setenv("SHOAL_AUTOTUNE", "1", 1);
    setenv("FAKE_CUDNN_ENGINES", engines, 1);
    setenv("FAKE_CUDNN_QUICKEST", quickest, 1);
}

TEST(the_quickest_engine_that_is_allowed_is_taken)
{
    float ms;
    begin("strict");
    measure_with("4", "3");
    convolve(false, true); // neither the first, which rounds, nor the second, without an order
    EXPECT_STR(asked(), "hpp");
    EXPECT_EQ(kept_engine(&ms), 3);
    EXPECT(ms >= 0 && ms < 2);
    begin("free");
    measure_with("4", "1");
    convolve(true, false);
    EXPECT_STR(asked(), "hpppp");
    EXPECT_EQ(kept_engine(&ms), 1);
    begin("ordered");
    measure_with("4", "1");
    convolve(true, true);
    EXPECT_STR(asked(), "hppp");
    EXPECT(kept_engine(&ms) != 1);
}

TEST(what_was_measured_stays_and_what_was_not_is_measured_when_asked)
{
    float ms;
    begin("again");
    setenv("FAKE_CUDNN_ENGINES", "3", 1);
    convolve(true, false);
    EXPECT_EQ(kept_engine(&ms), 0);
    EXPECT(ms < 0);
    (void)asked();
    measure_with("3", "2");
    convolve(true, false);
    EXPECT_STR(asked(), "thppp");
    EXPECT_EQ(kept_engine(&ms), 2);
    setenv("FAKE_CUDNN_QUICKEST", "0", 1);
    convolve(true, false);
    unsetenv("SHOAL_AUTOTUNE");
    convolve(true, false);
    EXPECT_STR(asked(), "tt");
    EXPECT_EQ(kept_engine(&ms), 2);
}

TEST_MAIN()
