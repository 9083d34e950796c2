// A small COCO set made on the spot: JPEGs of chosen sizes and a JSON of any text.
#ifndef SHOAL_TESTS_IO_MINI_SET_H
#define SHOAL_TESTS_IO_MINI_SET_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/jpeg.h"
#include "support/test.h"

// test_folder()/name, in one of many buffers that take turns.
static inline const char *mini_path(const char *format, ...) PRINTF_LIKE(1, 2);
static inline const char *mini_path(const char *format, ...)
{
    static char paths[256][512];
    static int next;
    char *path = paths[next++ % 256];
    int used = snprintf(path, sizeof paths[0], "%s/", test_folder());
    va_list args;
    va_start(args, format);
    vsnprintf(path + used, sizeof paths[0] - (size_t)used, format, args);
    va_end(args);
    return path;
}

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
    EXPECT_OK(file_make_folders(mini_path("images")));
    for (int i = 1; i <= n; i++) mini_jpeg(mini_path("images/%d.jpg", i), 20 + i, 30 + i, i);
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

static inline bool mini_same_file(const char *a, const char *b)
{
    char *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    EXPECT_OK(file_read(a, &x, &n));
    EXPECT_OK(file_read(b, &y, &m));
    bool same = x != NULL && y != NULL && n == m && memcmp(x, y, n) == 0;
    mem_free(x);
    mem_free(y);
    return same;
}

#endif
