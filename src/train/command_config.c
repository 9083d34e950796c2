// shoal config: what a config file and its overrides come to.
#include <stdio.h>

#include "core/config.h"
#include "core/mem.h"
#include "train/command.h"
#include "train/command_line.h"

static status print(const struct config *c, const char *key)
{
    char *yaml = NULL;
    if (key != NULL) return config_print_key(c, key, stdout);
    TRY(config_dump(c, &yaml));
    (void)fputs(yaml, stdout);
    mem_free(yaml);
    return OK;
}

status command_config(int argc, char **argv)
{
    const char *key = NULL;
    const struct command_line_option options[] = {
        {.name = "key",
         .kind = COMMAND_LINE_TEXT,
         .value = &key,
         .argument = "KEY",
         .help = "print this key's value alone"},
    };
    const struct command_line line = {
        .usage = "shoal config CONFIG [key=value ...] [--key KEY]",
        .about = "Prints every key with its value: defaults, base files, the file and overrides.",
        .options = options,
        .n_options = COUNT(options),
        .min_words = 1,
        .max_words = -1,
    };
    struct config *c = NULL;
    int n;
    char **words;
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &n, &words, &is_help));
    if (is_help) return OK;
    TRY(mem_alloc(&c, 1));
    status st = config_load(words[0], n - 1, words + 1, c);
    if (st == OK) st = print(c, key);
    mem_free(c);
    return st;
}
