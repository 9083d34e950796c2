// shoal pack synth: a detection data set made on the spot.
#include "train/command.h"

#include <stdio.h>

#include "io/synth.h"
#include "train/command_line.h"

static const char about[] =
    "Draws coloured shapes (circle, square, triangle, star, ring, cross, diamond, pentagon) on "
    "textured\n"
    "backgrounds, 1 to 5 a picture, and writes them as JPEGs with COCO annotations:\n"
    "  DIR/train/000001.jpg ...   DIR/annotations/instances_train.json   --images of them\n"
    "  DIR/val/000001.jpg ...     DIR/annotations/instances_val.json     --val of them\n"
    "One seed always gives the same pictures. Pack each part with shoal pack coco.";

status command_synth(int argc, char **argv)
{
    struct synth_params p = {0};
    int64_t size = 128, n_shapes;
    p.seed = 1;
    const struct command_line_option options[] = {
        {.name = "out",
         .kind = COMMAND_LINE_TEXT,
         .value = &p.folder,
         .argument = "DIR",
         .help = "folder to write to; what it holds of the same names is overwritten",
         .is_required = true},
        {.name = "images",
         .kind = COMMAND_LINE_INTEGER,
         .value = &p.n_train,
         .argument = "N",
         .help = "pictures to train on",
         .min = 1,
         .max = 10000000,
         .is_required = true},
        {.name = "val",
         .kind = COMMAND_LINE_INTEGER,
         .value = &p.n_val,
         .argument = "N",
         .help = "pictures to hold out (0: none)",
         .min = 0,
         .max = 10000000},
        {.name = "size",
         .kind = COMMAND_LINE_INTEGER,
         .value = &size,
         .argument = "PIXELS",
         .help = "height and width of a picture (128)",
         .min = SYNTH_MIN_SIZE,
         .max = SYNTH_MAX_SIZE},
        {.name = "seed",
         .kind = COMMAND_LINE_INTEGER,
         .value = &p.seed,
         .argument = "N",
         .help = "chooses the pictures (1)",
         .min = 0,
         .max = 9e15},
    };
    const struct command_line line = {
        .usage = "shoal pack synth --out DIR --images N [--val N] [--size PIXELS] [--seed N]",
        .about = about,
        .options = options,
        .n_options = COUNT(options),
    };
    int n_words;
    char **words;
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &n_words, &words, &is_help));
    if (is_help) return OK;
    p.size = (int32_t)size;
    TRY(synth_write(&p, &n_shapes));
    printf("%s: %lld pictures to train on, %lld held out, %d x %d pixels, %lld shapes\n", p.folder,
           (long long)p.n_train, (long long)p.n_val, p.size, p.size, (long long)n_shapes);
    return OK;
}
