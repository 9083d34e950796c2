// Long options of a subcommand, from a table.
#include "train/command_line.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 32 };

static void print_help(const struct command_line *line)
{
    printf("usage: %s\n\n%s\n", line->usage, line->about);
    if (line->n_options > 0) printf("\n");
    for (size_t i = 0; i < line->n_options; i++) {
        const struct command_line_option *o = &line->options[i];
        char name[64];
        (void)snprintf(name, sizeof name, "--%s%s%s", o->name, o->argument != NULL ? " " : "",
                       o->argument != NULL ? o->argument : "");
        printf("  %-26s %s\n", name, o->help);
    }
}

static status check_range(const struct command_line_option *o, double value, const char *text)
{
    REQUIRE(value >= o->min && value <= o->max, E_ARG, "--%s %s: want %.10g to %.10g", o->name,
            text, o->min, o->max);
    return OK;
}

static status set_value(const struct command_line_option *o, const char *text)
{
    char *end = NULL;
    errno = 0;
    switch (o->kind) {
    case COMMAND_LINE_FLAG:
        *(bool *)o->value = true;
        return OK;
    case COMMAND_LINE_TEXT:
        *(const char **)o->value = text;
        return OK;
    case COMMAND_LINE_INTEGER: {
        long long value = strtoll(text, &end, 10);
        REQUIRE(end != text && *end == '\0' && errno == 0, E_ARG, "--%s %s: want an integer",
                o->name, text);
        *(int64_t *)o->value = value;
        return check_range(o, (double)value, text);
    }
    case COMMAND_LINE_NUMBER: {
        double value = strtod(text, &end);
        REQUIRE(end != text && *end == '\0', E_ARG, "--%s %s: want a number", o->name, text);
        *(double *)o->value = value;
        return check_range(o, value, text);
    }
    }
    return OK;
}

// The table as getopt_long wants it, "help" at the end.
static void make_getopt_table(const struct command_line *line, struct option *to)
{
    ASSERT(line->n_options < MAX_OPTIONS);
    for (size_t i = 0; i < line->n_options; i++) {
        bool is_flag = line->options[i].kind == COMMAND_LINE_FLAG;
        to[i] = (struct option){line->options[i].name, is_flag ? no_argument : required_argument,
                                NULL, (int)i + 1};
    }
    to[line->n_options] = (struct option){"help", no_argument, NULL, MAX_OPTIONS + 1};
    to[line->n_options + 1] = (struct option){0};
}

static status check_complete(const struct command_line *line, const bool *seen, int n_words)
{
    for (size_t i = 0; i < line->n_options; i++)
        REQUIRE(!line->options[i].is_required || seen[i], E_ARG, "--%s %s is missing; usage: %s",
                line->options[i].name, line->options[i].argument, line->usage);
    REQUIRE(n_words >= line->min_words, E_ARG, "an argument is missing; usage: %s", line->usage);
    REQUIRE(line->max_words < 0 || n_words <= line->max_words, E_ARG,
            "too many arguments; usage: %s", line->usage);
    return OK;
}

status command_line_parse(const struct command_line *line, int argc, char **argv, int *n_words,
                          char ***words, bool *is_help)
{
    struct option table[MAX_OPTIONS + 2];
    bool seen[MAX_OPTIONS] = {false};
    make_getopt_table(line, table);
    *is_help = false;
    optind = 0; // begin anew: a program may parse more than once
    for (;;) {
        int found = getopt_long(argc, argv, ":", table, NULL);
        if (found == -1) break;
        const char *word = optind > 0 ? argv[optind - 1] : "";
        REQUIRE(found != ':', E_ARG, "%s wants a value; usage: %s", word, line->usage);
        REQUIRE(found != '?', E_ARG, "%s is no option, is ambiguous or takes no value; usage: %s",
                word, line->usage);
        if (found == MAX_OPTIONS + 1) {
            print_help(line);
            *is_help = true;
            return OK;
        }
        seen[found - 1] = true;
        TRY(set_value(&line->options[found - 1], optarg));
    }
    *n_words = argc - optind;
    *words = argv + optind;
    return check_complete(line, seen, *n_words);
}
