// The keys of an Example.
#include "io/example_internal.h"

const char *example_key_name(enum example_key key)
{
    static const char *const names[EXAMPLE_N_KEYS] = {
        [EXAMPLE_KEY_ENCODED] = "image/encoded",
        [EXAMPLE_KEY_FILENAME] = "image/filename",
        [EXAMPLE_KEY_FORMAT] = "image/format",
        [EXAMPLE_KEY_HEIGHT] = "image/height",
        [EXAMPLE_KEY_AREA] = "image/object/area",
        [EXAMPLE_KEY_XMAX] = "image/object/bbox/xmax",
        [EXAMPLE_KEY_XMIN] = "image/object/bbox/xmin",
        [EXAMPLE_KEY_YMAX] = "image/object/bbox/ymax",
        [EXAMPLE_KEY_YMIN] = "image/object/bbox/ymin",
        [EXAMPLE_KEY_LABEL] = "image/object/class/label",
        [EXAMPLE_KEY_TEXT] = "image/object/class/text",
        [EXAMPLE_KEY_IS_CROWD] = "image/object/is_crowd",
        [EXAMPLE_KEY_SOURCE_ID] = "image/source_id",
        [EXAMPLE_KEY_WIDTH] = "image/width",
        [EXAMPLE_KEY_OWN_AREA] = "shoal/area",
        [EXAMPLE_KEY_OWN_BBOX] = "shoal/bbox",
        [EXAMPLE_KEY_OWN_CATEGORY_ID] = "shoal/category_id",
        [EXAMPLE_KEY_OWN_ID] = "shoal/id",
        [EXAMPLE_KEY_OWN_IMAGE_ID] = "shoal/image_id",
    };
    return names[key];
}
