// Long options of a subcommand, from a table: parsed, checked, and listed by --help.
#ifndef SHOAL_TRAIN_COMMAND_LINE_H
#define SHOAL_TRAIN_COMMAND_LINE_H

#include <stdint.h>

#include "core/status.h"

enum command_line_kind {
    COMMAND_LINE_FLAG,    // bool *
    COMMAND_LINE_TEXT,    // const char **, borrowed from argv
    COMMAND_LINE_INTEGER, // int64_t *, within [min, max]
    COMMAND_LINE_NUMBER,  // double *, within [min, max]
};

struct command_line_option {
    const char *name; // without the dashes
    enum command_line_kind kind;
    void *value;          // holds the default before; where is_required, NULL for a text
    const char *argument; // its name in the help; NULL for a flag
    const char *help;
    double min, max;
    bool is_required;
};

struct command_line {
    const char *usage; // "shoal pack coco --annotations J ..."
    const char *about; // a sentence or more for --help
    const struct command_line_option *options;
    size_t n_options;
    int min_words, max_words; // arguments that are no options; max_words < 0: any number
};

// words points at the arguments that are no options (argv is reordered). *is_help: --help was there
// and has been printed; there is nothing more to do.
// Errors: E_ARG, one line, with the option and what it wants.
MUST_USE status command_line_parse(const struct command_line *line, int argc, char **argv,
                                   int *n_words, char ***words, bool *is_help);

#endif
