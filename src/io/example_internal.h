// The keys of an Example, shared by its writer and its reader.
#ifndef SHOAL_IO_EXAMPLE_INTERNAL_H
#define SHOAL_IO_EXAMPLE_INTERNAL_H

// In the order of their bytes, which is the order of protobuf's deterministic writers.
enum example_key {
    EXAMPLE_KEY_ENCODED,
    EXAMPLE_KEY_FILENAME,
    EXAMPLE_KEY_FORMAT,
    EXAMPLE_KEY_HEIGHT,
    EXAMPLE_KEY_AREA,
    EXAMPLE_KEY_XMAX,
    EXAMPLE_KEY_XMIN,
    EXAMPLE_KEY_YMAX,
    EXAMPLE_KEY_YMIN,
    EXAMPLE_KEY_LABEL,
    EXAMPLE_KEY_TEXT,
    EXAMPLE_KEY_IS_CROWD,
    EXAMPLE_KEY_SOURCE_ID,
    EXAMPLE_KEY_WIDTH,
    EXAMPLE_KEY_OWN_AREA,
    EXAMPLE_KEY_OWN_BBOX,
    EXAMPLE_KEY_OWN_CATEGORY_ID,
    EXAMPLE_KEY_OWN_ID,
    EXAMPLE_KEY_OWN_IMAGE_ID,
    EXAMPLE_N_KEYS
};

const char *example_key_name(enum example_key key);

#endif
