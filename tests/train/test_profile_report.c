// The tables and the trace of a profile whose numbers are set by hand.
#include "train/profile_report.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/json.h"
#include "support/test.h"

static struct profile_span main_spans[] = {
    {10.0, 0.25, "conv2d", "layer \"1\"", PROFILE_KIND_FORWARD},
    {10.0, 0.5, "forward", NULL, PROFILE_KIND_PHASE},
    {10.5, 1.5, "backward", NULL, PROFILE_KIND_PHASE},
};
static struct profile_span loader_spans[] = {{9.5, 0.125, "decode", NULL, PROFILE_KIND_WORK}};

static struct profile_track tracks[] = {
    {.name = "main",
     .spans = main_spans,
     .n_spans = COUNT(main_spans),
     .n_lost = 3,
     .totals = {{PROFILE_KIND_FORWARD, "conv2d", 1, 0.25},
                {PROFILE_KIND_PHASE, "forward", 1, 0.5},
                {PROFILE_KIND_PHASE, "backward", 2, 1.5},
                {PROFILE_KIND_BACKWARD, "conv2d", 2, 0.75},
                {PROFILE_KIND_FORWARD, "linear", 4, 0.01}},
     .n_totals = 5},
    {.name = "loader",
     .spans = loader_spans,
     .n_spans = COUNT(loader_spans),
     .totals = {{PROFILE_KIND_WORK, "decode", 1, 0.125}},
     .n_totals = 1},
};
static const struct profile_tracks all = {.items = tracks, .n = COUNT(tracks)};

// The line that begins with the word, cut off at its end.
static const char *line_of(const char *text, const char *word)
{
    static char line[256];
    const char *at = text;
    while (at != NULL && strncmp(at, word, strlen(word)) != 0) {
        at = strchr(at, '\n');
        if (at != NULL) at++;
    }
    (void)snprintf(line, sizeof line, "%.*s", at != NULL ? (int)strcspn(at, "\n") : 0,
                   at != NULL ? at : "");
    return line;
}

TEST(the_tables_show_phases_ops_and_other_threads)
{
    char *text = NULL;
    EXPECT_OK(profile_report_text(&all, &text));
    EXPECT_STR(line_of(text, "backward"),
               "backward                     2     1.500    750.000   75.0%");
    EXPECT_STR(line_of(text, "all phases"), "all phases                         2.000");
    // 0.25 s forward and 0.75 s backward are half of the phases' 2 s.
    EXPECT_STR(line_of(text, "conv2d"),
               "conv2d                       1     0.250         2      0.750   50.0%");
    EXPECT_STR(line_of(text, "decode"), "decode                       1     0.125    125.000");
    EXPECT(strstr(text, "conv2d") < strstr(text, "linear")); // the largest first
    mem_free(text);
}

static const struct json *event(const struct json *events, size_t i, const char *ph, int64_t thread)
{
    const struct json *e = &events->items[i];
    const char *text = NULL;
    int64_t tid = -1;
    EXPECT_OK(json_get_text(e, "ph", &text));
    EXPECT_STR(text, ph);
    EXPECT_OK(json_get_integer(e, "tid", &tid));
    EXPECT_EQ(tid, thread);
    return e;
}

static void expect_number(const struct json *e, const char *key, double want)
{
    double got = -1;
    EXPECT_OK(json_get_number(e, key, &got));
    EXPECT(got == want);
}

TEST(the_trace_is_json_with_a_thread_a_track_in_microseconds)
{
    char path[512];
    struct json_document *d = NULL;
    const struct json *events, *args;
    const char *what = NULL;
    (void)snprintf(path, sizeof path, "%s/trace.json", test_folder());
    EXPECT_OK(profile_report_write_trace(&all, path));
    EXPECT_OK(json_read(path, &d));
    if (d == NULL) return;
    EXPECT_OK(json_get(json_root(d), "traceEvents", JSON_KIND_ARRAY, &events));
    EXPECT_EQ(events->n, 6);
    EXPECT_OK(json_get(event(events, 1, "M", 1), "args", JSON_KIND_OBJECT, &args));
    EXPECT_OK(json_get_text(args, "name", &what));
    EXPECT_STR(what, "loader");
    const struct json *conv = event(events, 2, "X", 0);
    expect_number(conv, "ts", 500000); // the loader's span began at 9.5 s
    expect_number(conv, "dur", 250000);
    EXPECT_OK(json_get(conv, "args", JSON_KIND_OBJECT, &args));
    EXPECT_OK(json_get_text(args, "what", &what));
    EXPECT_STR(what, "layer \"1\"");
    expect_number(event(events, 5, "X", 1), "ts", 0);
    expect_number(json_root(d), "spansLeftOut", 3);
    json_destroy(d);
}

TEST_MAIN()
