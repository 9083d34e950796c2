// metrics.jsonl: cut where a resume begins, whatever state a kill left it in.
#include "train/metrics.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "core/file.h"
#include "core/mem.h"
#include "support/test.h"

static const char *const names[] = {"loss_classifier", "loss_box_reg"};

static const char *path(void)
{
    static char text[512];
    snprintf(text, sizeof text, "%s/metrics.jsonl", test_folder());
    return text;
}

static void add_step(struct metrics *m, int64_t step)
{
    const double values[] = {0.125 * (double)step, 1e-10};
    struct metrics_step s = {.step = step,
                             .lr = 0.1,
                             .loss = values[0] + values[1],
                             .n = 2,
                             .name = names,
                             .value = values,
                             .images_per_s = 3};
    EXPECT_OK(metrics_add_step(m, &s));
}

static void add_eval(struct metrics *m, int64_t step, double ap)
{
    struct coco_eval_category category = {.name = (char *)"a \"b\"", .ap = ap};
    struct coco_eval e = {.n_categories = 1, .categories = &category};
    e.stats[0] = ap;
    e.stats[1] = 2 * ap;
    EXPECT_OK(metrics_add_eval(m, step, 0, &e));
}

// Steps 1..4, evaluations after 2 (0.25) and 4 (0.125).
static void write_four(void)
{
    struct metrics *m = NULL;
    EXPECT_OK(metrics_open(path(), 0, &m));
    for (int64_t step = 1; step <= 4; step++) {
        add_step(m, step);
        if (step % 2 == 0) add_eval(m, step, step == 2 ? 0.25 : 0.125);
    }
    EXPECT_OK(metrics_sync(m));
    metrics_close(m);
}

static int count_lines(void)
{
    char *text = NULL;
    size_t n = 0;
    int lines = 0;
    EXPECT_OK(file_read(path(), &text, &n));
    for (size_t i = 0; i < n; i++) lines += text[i] == '\n';
    EXPECT(n == 0 || text[n - 1] == '\n');
    mem_free(text);
    return lines;
}

TEST(a_fresh_log_is_empty_and_numbers_have_nine_digits)
{
    struct metrics *m = NULL;
    char *text = NULL;
    size_t n = 0;
    int64_t step;
    double ap;
    write_four();
    EXPECT_OK(metrics_open(path(), 0, &m));
    EXPECT_EQ(count_lines(), 0);
    EXPECT(!metrics_best(m, &step, &ap));
    add_step(m, 3);
    metrics_close(m);
    EXPECT_OK(file_read(path(), &text, &n));
    EXPECT_HAS(text, "{\"step\": 3, \"epoch\": 0, \"lr\": 0.1, \"loss\": 0.375, "
                     "\"loss_classifier\": 0.375, \"loss_box_reg\": 1e-10, \"images_per_s\": 3, "
                     "\"data_wait_s\": 0, \"compute_s\": 0, \"comm_exposed_s\": 0, \"step_s\": 0, "
                     "\"rss_mib\": 0}\n");
    mem_free(text);
}

TEST(a_resume_keeps_what_its_step_has_seen)
{
    for (int64_t step = 1; step <= 6; step++) {
        struct metrics *m = NULL;
        double ap = -1, ap50 = -1, best = -1;
        int64_t best_step = -1;
        write_four();
        EXPECT_OK(metrics_open(path(), step, &m));
        EXPECT_EQ(count_lines(), step >= 4 ? 6 : step >= 2 ? step + 1 : 1);
        EXPECT_EQ(metrics_eval(m, 2, &ap, &ap50), step >= 2);
        EXPECT_EQ(metrics_eval(m, 4, NULL, NULL), step >= 4);
        EXPECT_EQ(metrics_best(m, &best_step, &best), step >= 2);
        if (step >= 2) {
            EXPECT(ap == 0.25 && ap50 == 0.5 && best == 0.25 && best_step == 2);
        }
        add_step(m, step + 1);
        metrics_close(m);
        EXPECT_EQ(count_lines(), (step >= 4 ? 6 : step >= 2 ? step + 1 : 1) + 1);
    }
}

TEST(a_resume_without_memory_drops_no_line)
{
    status st = E_NOMEM;
    int n = 0;
    write_four();
    while (st != OK) {
        struct metrics *m = NULL;
        mem_fail_at(++n);
        st = metrics_open(path(), 4, &m);
        mem_fail_at(0);
        if (st != OK) EXPECT_EQ(st, E_NOMEM);
        EXPECT_EQ(count_lines(), 6);
        if (st == OK) metrics_close(m);
    }
    EXPECT(n > 12); // two and more for every line
}

TEST(a_line_that_goes_to_the_file_at_once_asks_for_no_memory)
{
    struct metrics *m = NULL;
    EXPECT_OK(metrics_open(path(), 0, &m));
    mem_fail_at(1);
    for (int64_t step = 1; step <= 100; step++) add_step(m, step);
    mem_fail_at(0);
    EXPECT_EQ(count_lines(), 100);
    metrics_close(m);
}

TEST(a_log_cut_anywhere_by_a_kill_can_be_resumed)
{
    char *text = NULL;
    size_t n = 0;
    write_four();
    EXPECT_OK(file_read(path(), &text, &n));
    for (size_t length = 0; length <= n; length += 7) {
        struct metrics *m = NULL;
        int whole = 0;
        for (size_t i = 0; i < length; i++) whole += text[i] == '\n';
        EXPECT_OK(file_write(path(), text, length));
        EXPECT_OK(metrics_open(path(), 4, &m));
        EXPECT_EQ(count_lines(), whole);
        metrics_close(m);
    }
    mem_free(text);
}

TEST(lines_that_found_no_room_come_before_the_next_and_none_is_torn)
{
    struct rlimit before, full;
    struct metrics *m = NULL;
    write_four();
    EXPECT_OK(metrics_open(path(), 4, &m));
    uint64_t bytes = 0;
    EXPECT_OK(file_size(path(), &bytes));
    (void)signal(SIGXFSZ, SIG_IGN);
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    full = before;
    full.rlim_cur = bytes + 20; // part of a line fits
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
    const struct metrics_step s = {.step = 5};
    struct coco_eval e = {.stats = {0.5, 0.75}};
    EXPECT_STATUS(metrics_add_step(m, &s), E_IO);
    EXPECT_HAS(error_text(), "metrics.jsonl: cannot write");
    EXPECT_EQ(count_lines(), 6);
    EXPECT_STATUS(metrics_add_eval(m, 5, 0, &e), E_IO);
    EXPECT_EQ(count_lines(), 6);
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    double ap = 0;
    EXPECT(metrics_eval(m, 5, &ap, NULL) && ap == 0.5);
    add_step(m, 6);
    EXPECT_EQ(count_lines(), 9);
    metrics_close(m);
    EXPECT_OK(metrics_open(path(), 6, &m)); // every line can be read
    EXPECT_EQ(count_lines(), 9);
    EXPECT(metrics_eval(m, 5, &ap, NULL));
    metrics_close(m);
}

TEST(a_log_that_is_none_is_refused_by_name)
{
    struct metrics *m = NULL;
    static const char other[] = "{\"steps\": 1}\n";
    EXPECT_OK(file_write(path(), other, strlen(other)));
    EXPECT_STATUS(metrics_open(path(), 4, &m), E_FORMAT);
    EXPECT_HAS(error_text(), "metrics.jsonl");
}

TEST(resident_memory_is_some)
{
    EXPECT(metrics_rss_mib() > 0.5);
}

TEST_MAIN()
