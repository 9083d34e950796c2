// shoal index: index, manifest and label map for records that others wrote.
#include <stdio.h>

#include "io/index.h"
#include "train/command.h"
#include "train/command_line.h"

status command_index(int argc, char **argv)
{
    const char *labels = NULL;
    int64_t jobs = 0;
    const struct command_line_option options[] = {
        {"labels", COMMAND_LINE_TEXT, &labels, "FILE.pbtxt",
         "label map; else the manifest's, NAME.pbtxt, or the names in the records", 0, 0, false},
        {"jobs", COMMAND_LINE_INTEGER, &jobs, "N", "threads; as many as processors otherwise", 1,
         256, false},
    };
    const struct command_line line = {
        "shoal index DIR/NAME [--labels FILE.pbtxt] [--jobs N]",
        "Reads records that others wrote, DIR/NAME.record-00000-of-00010, DIR/NAME.tfrecord and "
        "the "
        "like,\nand writes what is missing beside them: indices, label map, manifest.",
        options,
        COUNT(options),
        1,
        1};
    struct manifest m;
    int n;
    char **words;
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &n, &words, &is_help));
    if (is_help) return OK;
    TRY(index_dataset(words[0], labels, (int)jobs, &m));
    printf("%s: %llu images (%llu with boxes), %llu boxes, %d categories, %d shards\n", words[0],
           (unsigned long long)m.counts.images, (unsigned long long)m.counts.usable,
           (unsigned long long)m.counts.annotations, m.n_categories, m.n_shards);
    manifest_fini(&m);
    return OK;
}
