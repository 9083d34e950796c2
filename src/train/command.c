// Which subcommand runs, and what its end means to the one who started the program.
#include "train/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/comm.h"
#include "core/build.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/profile.h"

static const struct command commands[] = {
    {"pack", "turns annotations and images into record files", command_pack},
    {"index", "index and manifest for records that others wrote", command_index},
    {"inspect", "what a data set holds: counts, sizes, colours, pictures", command_inspect},
    {"verify", "checks every checksum and every JPEG of a data set", command_verify},
    {"train", "trains a detector, on one rank or many", command_train},
    {"eval", "detects on a data set and scores it", command_eval},
    {"score", "COCO metrics of a results file", command_score},
    {"detect", "detects objects in JPEG files and draws them", command_detect},
    {"config", "what a config and its overrides come to", command_config},
    {"bench", "times a step, the loader, scoring, an all-reduce", command_bench},
    {"plan", "predicted scaling, beside what was measured", command_plan},
    {"devices", "what the model could run on here, and what is missing", command_devices},
};

static void print_commands(FILE *to, const char *of, const struct command *table, size_t n)
{
    (void)fprintf(to, "usage: %s COMMAND ...\n\n", of);
    for (size_t i = 0; i < n; i++)
        (void)fprintf(to, "  %-10s %s\n", table[i].name, table[i].summary);
    (void)fprintf(to, "\n%s COMMAND --help says more.\n", of);
}

status command_dispatch(const char *of, const struct command *table, size_t n, int argc,
                        char **argv)
{
    REQUIRE(argc >= 2, E_ARG, "no command given; %s --help lists them", of);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_commands(stdout, of, table, n);
        return OK;
    }
    for (size_t i = 0; i < n; i++)
        if (strcmp(argv[1], table[i].name) == 0) return table[i].run(argc - 1, argv + 1);
    FAIL(E_ARG, "no command \"%s\"; %s --help lists them", argv[1], of);
}

int command_exit_code(status st)
{
    switch (st) {
    case OK:
        return 0;
    case E_ARG:
        return 2;
    case E_SAVED:
        return 7;
    case E_COMM:
        return 75;
    default:
        return 1;
    }
}

static status run(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        char build[BUILD_TEXT_BYTES];
        build_describe(build);
        printf("shoal %s\n", build);
        return OK;
    }
    return command_dispatch("shoal", commands, COUNT(commands), argc, argv);
}

static void print_frames(void)
{
    char frames[ERROR_FRAMES_BYTES];
    (void)snprintf(frames, sizeof frames, "%s", error_frames());
    char *rest = NULL;
    for (char *line = strtok_r(frames, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest))
        log_debug("%s", line);
}

// A test's fault: the n-th allocation fails. Nobody may notice (a batch read ahead is not used), so
// a run that asked for fewer says so.
static status run_with_fault(int argc, char **argv)
{
    const char *text = getenv("SHOAL_MEM_FAIL_AT");
    int64_t n = text != NULL ? strtoll(text, NULL, 10) : 0;
    mem_fail_at(n);
    status st = run(argc, argv);
    if (mem_n_allocs() < n) log_info("allocation %" PRId64 " was not asked for", n);
    return st;
}

int command_main(int argc, char **argv)
{
    mem_init();
    profile_init();
    status st = run_with_fault(argc, argv);
    if (st == OK && (fflush(stdout) != 0 || ferror(stdout))) {
        error_set(__FILE__, __LINE__, "standard output could not be written");
        st = E_IO;
    }
    // What is wrong before ranks meet is wrong on all of them; what comes later, one has said.
    bool quiet = (st == E_ARG && comm_launched_rank() > 0) || error_text()[0] == '\0';
    if (st != OK && st != E_SAVED && !quiet) {
        log_error("%s", error_text());
        print_frames();
    }
    return command_exit_code(st);
}
