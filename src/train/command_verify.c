// shoal verify: every checksum and every JPEG of a data set.
#include <stdio.h>

#include "core/log.h"
#include "io/verify.h"
#include "train/command.h"
#include "train/command_line.h"

static void print_problem(void *context, const char *what)
{
    (void)context;
    log_error("%s", what);
}

status command_verify(int argc, char **argv)
{
    int64_t jobs = 0;
    const struct command_line_option options[] = {
        {"jobs", COMMAND_LINE_INTEGER, &jobs, "N", "threads; as many as processors otherwise", 1,
         256, false},
    };
    const struct command_line line = {
        "shoal verify DIR/NAME [--jobs N]",
        "Checks every checksum and decodes every JPEG; names shard, byte and image of what is bad.",
        options,
        COUNT(options),
        1,
        1};
    struct verify_report report;
    int n;
    char **words;
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &n, &words, &is_help));
    if (is_help) return OK;
    TRY(verify_dataset(words[0], (int)jobs, print_problem, NULL, &report));
    REQUIRE(report.problems == 0, E_FORMAT, "%s: %llu problems in %llu records", words[0],
            (unsigned long long)report.problems, (unsigned long long)report.records);
    printf("%s: %llu records, every checksum and every JPEG is good\n", words[0],
           (unsigned long long)report.records);
    return OK;
}
