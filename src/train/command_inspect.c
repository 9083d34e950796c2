// shoal inspect: what a data set holds.
#include <stdio.h>

#include "core/mem.h"
#include "io/inspect.h"
#include "train/command.h"
#include "train/command_line.h"

static status inspect(const char *path, int jobs, bool json)
{
    struct dataset *d = NULL;
    struct inspect_report r;
    TRY(dataset_open(path, &d));
    status st = inspect_dataset(d, jobs, &r);
    if (st == OK) {
        if (json)
            inspect_write_json(&r, stdout);
        else
            inspect_print(&r, path, stdout);
        mem_free(r.categories);
    }
    dataset_close(d);
    return st;
}

static status draw(const char *path, int n, const char *folder)
{
    struct dataset *d = NULL;
    TRY(dataset_open(path, &d));
    status st = inspect_draw(d, n, folder);
    dataset_close(d);
    return st;
}

status command_inspect(int argc, char **argv)
{
    const char *folder = NULL;
    int64_t jobs = 0, pictures = 20;
    bool json = false;
    const struct command_line_option options[] = {
        {"json", COMMAND_LINE_FLAG, &json, NULL, "one JSON object", 0, 0, false},
        {"draw", COMMAND_LINE_TEXT, &folder, "OUT", "folder for pictures with boxes", 0, 0, false},
        {"pictures", COMMAND_LINE_INTEGER, &pictures, "N", "how many to draw (20)", 1, 1e9, false},
        {"jobs", COMMAND_LINE_INTEGER, &jobs, "N", "threads; as many as processors otherwise", 1,
         256, false},
    };
    const struct command_line line = {
        "shoal inspect DIR/NAME [--json] [--draw OUT [--pictures N]] [--jobs N]",
        "Counts images and boxes, measures sizes and the channels' mean and deviation.",
        options,
        COUNT(options),
        1,
        1};
    int n;
    char **words;
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &n, &words, &is_help));
    if (is_help) return OK;
    if (folder != NULL) TRY(draw(words[0], (int)pictures, folder));
    return inspect(words[0], (int)jobs, json);
}
