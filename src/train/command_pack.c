// shoal pack: makes record files.
#include "train/command.h"

static status pack_coco(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    FAIL(E_UNSUPPORTED, "pack coco is not built yet");
}

static const struct command kinds[] = {
    {"coco", "from COCO instances JSON and a folder of JPEGs", pack_coco},
};

status command_pack(int argc, char **argv)
{
    return command_dispatch("shoal pack", kinds, COUNT(kinds), argc, argv);
}
