// The made-up data set: the same every time, and boxes that fit what is seen.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/jpeg.h"
#include "io/json.h"
#include "io/synth.h"
#include "support/test.h"

enum { SIZE = 128 };

static struct synth_picture draw(int64_t seed, enum synth_set set, int64_t number, int32_t size)
{
    struct synth_picture picture;
    EXPECT_OK(synth_draw(seed, set, number, size, &picture));
    return picture;
}

static bool same_pixels(const struct synth_picture *a, const struct synth_picture *b)
{
    return memcmp(a->image.pixels, b->image.pixels, (size_t)SIZE * SIZE * 3) == 0;
}

TEST(a_picture_is_a_function_of_seed_set_and_number)
{
    struct synth_picture a = draw(1, SYNTH_SET_TRAIN, 5, SIZE);
    struct synth_picture others[] = {
        draw(1, SYNTH_SET_TRAIN, 5, SIZE), draw(2, SYNTH_SET_TRAIN, 5, SIZE),
        draw(1, SYNTH_SET_VAL, 5, SIZE), draw(1, SYNTH_SET_TRAIN, 6, SIZE)};
    for (size_t i = 0; i < COUNT(others); i++) {
        EXPECT_EQ(same_pixels(&a, &others[i]), i == 0);
        synth_picture_fini(&others[i]);
    }
    synth_picture_fini(&a);
}

static uint32_t colour_at(const struct synth_picture *p, int32_t y, int32_t x)
{
    const unsigned char *rgb = p->image.pixels + ((size_t)y * SIZE + (size_t)x) * 3;
    return (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
}

static int compare_colours(const void *a, const void *b)
{
    const uint32_t *l = a, *r = b;
    return *l < *r ? -1 : *l > *r;
}

// A shape has one colour, the background hardly repeats any: the commonest colour of the box.
static uint32_t shape_colour(const struct synth_picture *p, const struct synth_shape *s)
{
    static uint32_t all[SIZE * SIZE];
    size_t n = 0, best = 0;
    uint32_t colour = 0;
    for (int32_t y = s->y; y < s->y + s->h; y++)
        for (int32_t x = s->x; x < s->x + s->w; x++) all[n++] = colour_at(p, y, x);
    qsort(all, n, sizeof *all, compare_colours);
    for (size_t i = 0, from = 0; i < n; i++) {
        if (all[i] != all[from]) from = i;
        if (i - from < best) continue;
        best = i - from;
        colour = all[i];
    }
    return colour;
}

// Wholly covered pixels reach to within one of the bounds, and beyond the bounds there are none.
static void check_bounds(const struct synth_picture *p, const struct synth_shape *s)
{
    uint32_t colour = shape_colour(p, s);
    int32_t x0 = SIZE, y0 = SIZE, x1 = -1, y1 = -1, n = 0;
    for (int32_t y = s->y - 2; y < s->y + s->h + 2; y++) {
        for (int32_t x = s->x - 2; x < s->x + s->w + 2; x++) {
            if (y < 0 || x < 0 || y >= SIZE || x >= SIZE || colour_at(p, y, x) != colour) continue;
            x0 = x < x0 ? x : x0;
            x1 = x > x1 ? x : x1;
            y0 = y < y0 ? y : y0;
            y1 = y > y1 ? y : y1;
            n++;
        }
    }
    // A sharp corner ends in partly covered pixels: up to 4 for the diamond's and the star's.
    EXPECT(x0 >= s->x && x0 <= s->x + 4 && x1 < s->x + s->w && x1 >= s->x + s->w - 5);
    EXPECT(y0 >= s->y && y0 <= s->y + 4 && y1 < s->y + s->h && y1 >= s->y + s->h - 5);
    EXPECT(n <= s->area && n >= s->area / 2);
}

static bool overlap(const struct synth_shape *a, const struct synth_shape *b)
{
    // The circles around them are apart; boxes' corners may still touch.
    double ax = a->x + a->w / 2.0, ay = a->y + a->h / 2.0;
    return ax > b->x && ax < b->x + b->w && ay > b->y && ay < b->y + b->h;
}

TEST(boxes_fit_the_shapes_and_lie_apart)
{
    for (int64_t number = 1; number <= 60; number++) {
        struct synth_picture p = draw(3, SYNTH_SET_TRAIN, number, SIZE);
        EXPECT(p.n >= 1 && p.n <= SYNTH_MAX_SHAPES);
        for (int i = 0; i < p.n; i++) {
            const struct synth_shape *s = &p.shapes[i];
            EXPECT(s->label >= 1 && s->label <= SYNTH_N_CLASSES);
            EXPECT(s->x >= 0 && s->y >= 0 && s->x + s->w <= SIZE && s->y + s->h <= SIZE);
            check_bounds(&p, s);
            for (int k = 0; k < p.n; k++) EXPECT(k == i || !overlap(s, &p.shapes[k]));
        }
        synth_picture_fini(&p);
    }
}

TEST(every_class_count_and_a_wide_range_of_sizes_come_up)
{
    int of_class[SYNTH_N_CLASSES + 1] = {0}, of_count[SYNTH_MAX_SHAPES + 1] = {0};
    int32_t smallest = SIZE, largest = 0;
    for (int64_t number = 1; number <= 150; number++) {
        struct synth_picture p = draw(1, SYNTH_SET_VAL, number, SIZE);
        of_count[p.n]++;
        for (int i = 0; i < p.n; i++) {
            int32_t side = p.shapes[i].w > p.shapes[i].h ? p.shapes[i].w : p.shapes[i].h;
            of_class[p.shapes[i].label]++;
            smallest = side < smallest ? side : smallest;
            largest = side > largest ? side : largest;
        }
        synth_picture_fini(&p);
    }
    for (int c = 1; c <= SYNTH_N_CLASSES; c++) EXPECT(of_class[c] > 20);
    for (int n = 1; n <= SYNTH_MAX_SHAPES; n++) EXPECT(of_count[n] > 10);
    EXPECT(smallest < 18 && largest > 50);
    EXPECT_STR(synth_class_name(1), "circle");
    EXPECT_STR(synth_class_name(8), "pentagon");
}

TEST(other_sizes_work_too)
{
    const int32_t sizes[] = {SYNTH_MIN_SIZE, 100, 257};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct synth_picture p = draw(1, SYNTH_SET_TRAIN, 1, sizes[i]);
        EXPECT(p.image.h == sizes[i] && p.image.w == sizes[i]);
        synth_picture_fini(&p);
    }
}

static void read_all(const char *folder, const char *name, char **data, size_t *n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    *data = NULL;
    *n = 0;
    EXPECT_OK(file_read(path, data, n));
}

static void check_json(const char *folder, const char *name, size_t n_images)
{
    char path[512];
    struct json_document *d = NULL;
    const struct json *images, *annotations, *categories, *bbox;
    int64_t integer;
    snprintf(path, sizeof path, "%s/annotations/%s", folder, name);
    EXPECT_OK(json_read(path, &d));
    if (d == NULL) return;
    EXPECT_OK(json_get(json_root(d), "images", JSON_KIND_ARRAY, &images));
    EXPECT_OK(json_get(json_root(d), "annotations", JSON_KIND_ARRAY, &annotations));
    EXPECT_OK(json_get(json_root(d), "categories", JSON_KIND_ARRAY, &categories));
    EXPECT_EQ(images->n, n_images);
    EXPECT_EQ(categories->n, 8);
    EXPECT(annotations->n >= n_images && annotations->n <= 5 * n_images);
    for (size_t i = 0; i < annotations->n; i++) {
        EXPECT_OK(json_get_integer(&annotations->items[i], "id", &integer));
        EXPECT_EQ(integer, i + 1); // an id of 0 would never count as matched
        EXPECT_OK(json_get(&annotations->items[i], "bbox", JSON_KIND_ARRAY, &bbox));
        EXPECT_EQ(bbox->n, 4);
    }
    json_destroy(d);
}

TEST(a_written_set_is_whole_and_the_same_again)
{
    char folders[2][256];
    int64_t n_shapes[2];
    for (int i = 0; i < 2; i++) {
        snprintf(folders[i], sizeof folders[i], "%s/set%d", test_folder(), i);
        struct synth_params p = {folders[i], 4, 2, 64, 9};
        EXPECT_OK(synth_write(&p, &n_shapes[i]));
    }
    EXPECT_EQ(n_shapes[0], n_shapes[1]);
    const char *names[] = {"train/000001.jpg", "train/000004.jpg", "val/000002.jpg",
                           "annotations/instances_train.json", "annotations/instances_val.json"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char *a, *b;
        size_t n_a, n_b;
        read_all(folders[0], names[i], &a, &n_a);
        read_all(folders[1], names[i], &b, &n_b);
        EXPECT(n_a == n_b && n_a > 0 && memcmp(a, b, n_a) == 0);
        int32_t h, w;
        if (i < 3) EXPECT(jpeg_size((unsigned char *)a, n_a, &h, &w) == OK && h == 64 && w == 64);
        mem_free(a);
        mem_free(b);
    }
    check_json(folders[0], "instances_train.json", 4);
    check_json(folders[0], "instances_val.json", 2);
}

TEST(a_folder_that_cannot_be_made_is_an_error)
{
    int64_t n;
    struct synth_params p = {"/proc/nowhere", 1, 0, 64, 1};
    EXPECT_STATUS(synth_write(&p, &n), E_IO);
    EXPECT_HAS(error_text(), "/proc/nowhere");
}

TEST(a_set_that_cannot_be_finished_leaves_nothing)
{
    char folder[256], other[300];
    struct rlimit before, small;
    int64_t n;
    snprintf(folder, sizeof folder, "%s/full", test_folder());
    struct synth_params p = {folder, 6, 2, 64, 1};
    (void)signal(SIGXFSZ, SIG_IGN);
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    for (small.rlim_cur = 500; small.rlim_cur < 5000; small.rlim_cur += 500) {
        EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
        status st = synth_write(&p, &n);
        EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
        if (st == OK) break;
        EXPECT_HAS(error_text(), folder);
        EXPECT(!file_exists(folder));
    }
    EXPECT(small.rlim_cur > 1500); // pictures of all sizes had been written before one failed
    snprintf(other, sizeof other, "%s/train/note.txt", folder);
    char folder_train[280];
    snprintf(folder_train, sizeof folder_train, "%s/train", folder);
    EXPECT_OK(file_make_folders(folder_train));
    EXPECT_OK(file_write(other, "x", 1)); // what is not its own stays
    small.rlim_cur = 500;
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    EXPECT_STATUS(synth_write(&p, &n), E_IO);
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT(file_exists(other));
}

TEST(every_allocation_that_fails_is_reported_and_leaks_nothing)
{
    struct synth_picture p = {0};
    int fail_at = 0;
    for (status st = E_NOMEM; st == E_NOMEM;) {
        mem_fail_at(++fail_at);
        st = synth_draw(1, SYNTH_SET_TRAIN, 1, 64, &p);
        mem_fail_at(0);
        EXPECT(st == OK || (st == E_NOMEM && p.image.pixels == NULL));
    }
    EXPECT(fail_at > 3);
    synth_picture_fini(&p);
}

TEST_MAIN()
