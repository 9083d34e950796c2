// A small COCO set made on the spot: JPEGs of chosen sizes and a JSON of any text.
#ifndef SHOAL_TESTS_IO_MINI_SET_H
#define SHOAL_TESTS_IO_MINI_SET_H

#include <stdio.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/jpeg.h"
#include "support/test.h"

static inline void mini_jpeg(const char *path, int h, int w, int seed)
{
    struct image image;
    unsigned char *data = NULL;
    size_t n = 0;
    EXPECT_OK(image_init(h, w, &image));
    for (int i = 0; i < h * w * 3; i++)
        image.pixels[i] = (unsigned char)(i / (1 + seed % 5) * 7 + seed * 31);
    EXPECT_OK(jpeg_encode(&image, 80, &data, &n));
    EXPECT_OK(file_write(path, data, n));
    mem_free(data);
    image_fini(&image);
}

// images/I.jpg for I = 1..n, 20 + I high and 30 + I wide.
static inline void mini_images(int n)
{
    EXPECT_OK(file_make_folders(test_path("images")));
    for (int i = 1; i <= n; i++) mini_jpeg(test_path("images/%d.jpg", i), 20 + i, 30 + i, i);
}

// n images without sizes, image I with (I - 1) % 3 boxes (so that every third has none); image 4's
// only box is 1 px wide where thin. Categories 1 (a), 3 (c), 4 (d); annotation ids 100 I + k.
static inline void mini_json(const char *path, int n, bool thin)
{
    FILE *f = fopen(path, "w");
    EXPECT(f != NULL);
    if (f == NULL) return;
    fputs(
        "{\"categories\": [{\"id\": 1, \"name\": \"a\"}, {\"id\": 3, \"name\": \"c\"}, {\"id\": 4, "
        "\"name\": \"d\"}], \"images\": [",
        f);
    for (int i = 1; i <= n; i++)
        fprintf(f, "%s{\"id\": %d, \"file_name\": \"%d.jpg\"}", i > 1 ? ", " : "", i, i);
    fputs("], \"annotations\": [", f);
    bool first = true;
    for (int i = 1; i <= n; i++) {
        for (int k = 0; k < (i - 1) % 3 || (thin && i == 4 && k < 1); k++) {
            fprintf(
                f,
                "%s{\"id\": %d, \"image_id\": %d, \"category_id\": %d, \"bbox\": [%d.1, 2.7, %s, "
                "9.3], \"area\": %d.25, \"iscrowd\": %d}",
                first ? "" : ", ", 100 * i + k, i, k == 0 ? 4 : 1, i, thin && i == 4 ? "1" : "8.9",
                i, k == 1);
            first = false;
        }
    }
    fputs("]}", f);
    EXPECT_EQ(fclose(f), 0);
}

#endif
