// Progress on a terminal (a pseudo-terminal here) and without one.
#include "core/progress.h"

#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "support/test.h"

// What stderr received between catch_stderr and release_stderr.
static char caught[1 << 16];
static int kept_stderr, reading_end;

static void catch_stderr(bool terminal, unsigned short n_columns)
{
    int ends[2] = {-1, -1};
    struct winsize size = {.ws_row = 24, .ws_col = n_columns};
    EXPECT_EQ(unsetenv("SHOAL_PROGRESS"), 0);
    EXPECT_EQ(setenv("TERM", "xterm", 1), 0);
    EXPECT_EQ(terminal ? openpty(&ends[0], &ends[1], NULL, NULL, &size) : pipe(ends), 0);
    (void)fflush(stderr);
    kept_stderr = dup(STDERR_FILENO);
    EXPECT(dup2(ends[1], STDERR_FILENO) >= 0);
    (void)close(ends[1]);
    reading_end = ends[0];
    EXPECT_EQ(fcntl(reading_end, F_SETFL, O_NONBLOCK), 0);
}

static const char *release_stderr(void)
{
    size_t n = 0;
    ssize_t got;
    (void)fflush(stderr);
    while ((got = read(reading_end, caught + n, sizeof caught - 1 - n)) > 0) n += (size_t)got;
    caught[n] = '\0';
    (void)dup2(kept_stderr, STDERR_FILENO);
    (void)close(kept_stderr);
    (void)close(reading_end);
    return caught;
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, part)) != NULL; p++) n++;
    return n;
}

// What a terminal would show: carriage return and erase are obeyed. Lines end with \r\n there.
static const char *screen(const char *text)
{
    static char shown[sizeof caught];
    size_t line = 0, n = 0;
    for (const char *p = text; *p != '\0'; p++) {
        if (strncmp(p, "\r\x1b[K", 4) == 0) {
            n = line;
            p += 3;
        } else if (*p == '\n') {
            shown[n++] = '\n';
            line = n;
        } else if (*p != '\r') {
            shown[n++] = *p;
        }
    }
    shown[n] = '\0';
    return shown;
}

static const struct progress_params packing = {.what = "pack", .unit = "images", .total = 1000};

TEST(a_terminal_shows_one_line_that_is_gone_at_the_end)
{
    struct progress p;
    catch_stderr(true, 80);
    progress_begin(&p, &packing);
    (void)usleep(120000);
    progress_update(&p, 500, "epoch %d/%d, loss %.2f", 1, 2, 0.5);
    const char *text = release_stderr();
    EXPECT_HAS(screen(text), "pack: 500 of 1000 images, epoch 1/2, loss 0.50, 0:");
    EXPECT_EQ(count(text, "\n"), 0);
    catch_stderr(true, 80);
    progress_end(&p);
    EXPECT_STR(screen(release_stderr()), "");
}

TEST(a_terminal_is_drawn_on_at_most_ten_times_a_second)
{
    struct progress p;
    catch_stderr(true, 80);
    double begun_s = clock_now_s();
    progress_begin(&p, &packing);
    for (int i = 0; i < 1000; i++) {
        progress_add(&p, 1);
        (void)usleep(200);
    }
    double took_s = clock_now_s() - begun_s;
    progress_end(&p);
    int n = count(release_stderr(), "pack: ");
    EXPECT(n >= 2 && n <= 1 + (int)(took_s / 0.1));
}

TEST(a_log_line_stands_whole_above_the_live_line)
{
    struct progress p;
    catch_stderr(true, 80);
    progress_begin(&p, &packing);
    log_info("checkpoint written");
    const char *shown = screen(release_stderr());
    EXPECT_STR(shown, "shoal: checkpoint written\npack: 0 of 1000 images");
    catch_stderr(true, 80);
    progress_end(&p);
    log_info("over");
    EXPECT_STR(screen(release_stderr()), "shoal: over\n");
}

TEST(a_narrow_terminal_gets_a_line_that_does_not_wrap)
{
    struct progress p;
    catch_stderr(true, 12);
    progress_begin(&p, &packing);
    EXPECT_STR(screen(release_stderr()), "pack: 0 of ");
    catch_stderr(true, 12);
    progress_end(&p);
    (void)release_stderr();
}

TEST(without_a_terminal_there_are_plain_lines_now_and_then)
{
    struct progress p;
    struct progress_params params = packing;
    params.every_s = 0.02;
    params.done = 100;
    catch_stderr(false, 0);
    progress_begin(&p, &params);
    progress_add(&p, 1); // too early
    (void)usleep(30000);
    progress_add(&p, 1);
    progress_add(&p, 1); // too early again
    progress_end(&p);
    const char *text = release_stderr();
    EXPECT_EQ(count(text, "\n"), 1);
    EXPECT_EQ(count(text, "\r"), 0);
    EXPECT_HAS(text, "shoal: pack: 102 of 1000 images, ");
    EXPECT_HAS(text, "/s, 0:");
}

TEST(the_environment_overrules_the_look_at_stderr)
{
    struct progress p;
    catch_stderr(false, 0);
    EXPECT_EQ(setenv("SHOAL_PROGRESS", "live", 1), 0);
    progress_begin(&p, &packing);
    progress_end(&p);
    EXPECT_STR(release_stderr(), "\r\x1b[Kpack: 0 of 1000 images\r\x1b[K");
    catch_stderr(true, 80);
    EXPECT_EQ(setenv("SHOAL_PROGRESS", "plain", 1), 0);
    progress_begin(&p, &packing);
    progress_end(&p);
    EXPECT_STR(release_stderr(), "");
}

TEST(ranks_other_than_zero_are_silent)
{
    struct progress p;
    struct progress_params params = packing;
    params.every_s = 1e-9;
    log_set_rank(1, 2);
    for (int terminal = 0; terminal < 2; terminal++) {
        catch_stderr(terminal, 80);
        progress_begin(&p, &params);
        progress_add(&p, 1);
        progress_end(&p);
        EXPECT_STR(release_stderr(), "");
    }
    log_set_rank(0, 1);
}

TEST(the_innermost_job_is_shown_and_the_outer_one_comes_back)
{
    struct progress outer, inner;
    struct progress_params evaluating = {.what = "evaluate", .unit = "images"};
    catch_stderr(true, 80);
    progress_begin(&outer, &packing);
    progress_begin(&inner, &evaluating);
    progress_add(&outer, 5);
    EXPECT_STR(screen(release_stderr()), "evaluate: 0 images");
    catch_stderr(true, 80);
    progress_end(&inner);
    EXPECT_HAS(screen(release_stderr()), "pack: 5 of 1000 images");
    catch_stderr(true, 80);
    progress_end(&outer);
    EXPECT_STR(screen(release_stderr()), "");
}

static void *work(void *context)
{
    struct progress *p = context;
    for (int i = 0; i < 200; i++) {
        progress_add(p, 1);
        if (i % 50 == 0) log_info("message %d", i);
    }
    return NULL;
}

TEST(threads_may_count_and_log_at_once)
{
    struct progress p;
    pthread_t threads[4];
    catch_stderr(true, 80);
    progress_begin(&p, &packing);
    for (size_t i = 0; i < COUNT(threads); i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, work, &p), 0);
    for (size_t i = 0; i < COUNT(threads); i++) (void)pthread_join(threads[i], NULL);
    EXPECT_EQ(p.done, 800);
    progress_end(&p);
    const char *shown = screen(release_stderr());
    EXPECT_EQ(count(shown, "shoal: message "), 16);
    EXPECT_EQ(count(shown, "\n"), 16);
    EXPECT_EQ(count(shown, "pack"), 0);
}

TEST_MAIN()
