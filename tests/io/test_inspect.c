// What inspect says of a data set, against numbers worked out another way.
#include "io/inspect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/mini_set.h"
#include "io/json.h"
#include "io/pack.h"

static struct dataset *make(int n, int shards)
{
    struct pack_report report;
    struct dataset *d = NULL;
    mini_images(n);
    mini_json(test_path("a.json"), n, false);
    EXPECT_OK(pack_coco(&(struct pack_params){.annotations = test_path("a.json"),
                                              .images = test_path("images"),
                                              .out = test_path("in%d/set", shards),
                                              .shards = shards},
                        &report));
    EXPECT_OK(dataset_open(test_path("in%d/set", shards), &d));
    return d;
}

TEST(joined_channels_are_those_of_all_values)
{
    // 1, 2, 3, 4 and 10: mean 4, squared deviations 9 + 4 + 1 + 0 + 36
    struct inspect_channel a = {4, 2.5, 5}, b = {1, 10, 0}, none = {0, 0, 0};
    inspect_join(&a, &b);
    EXPECT_NEAR(a.mean, 4, 1e-12);
    EXPECT_NEAR(a.m2, 50, 1e-12);
    inspect_join(&a, &none);
    EXPECT_NEAR(inspect_deviation(&a), sqrt(10), 1e-12);
    inspect_join(&none, &a);
    EXPECT_NEAR(none.m2, 50, 1e-12);
    EXPECT_EQ(inspect_deviation(&(struct inspect_channel){0, 0, 0}), 0);
}

TEST(counts_are_those_of_the_json)
{
    struct dataset *d = make(9, 2);
    struct inspect_report r;
    if (d == NULL) return;
    EXPECT_OK(inspect_dataset(d, 2, &r));
    // Images 2, 5, 8 have a box; 3, 6, 9 a box and a crowd.
    EXPECT(r.images == 9 && r.usable == 6 && r.annotations == 9 && r.crowds == 3);
    EXPECT(r.most_boxes == 2 && r.empty_boxes == 0);
    EXPECT(r.min_h == 21 && r.max_h == 29 && r.min_w == 31 && r.max_w == 39);
    EXPECT_NEAR(r.mean_h, 25, 1e-12);
    EXPECT_NEAR(r.mean_w, 35, 1e-12);
    EXPECT(r.small == 6 && r.medium == 0 && r.large == 0);
    EXPECT_EQ(r.size_bins[3], 6); // 9.1 px
    EXPECT_EQ(r.n_categories, 3);
    EXPECT(r.categories[0].boxes == 0 && r.categories[0].crowds == 3 &&
           r.categories[0].images == 3);
    EXPECT(r.categories[1].boxes == 0 && r.categories[1].images == 0);
    EXPECT(r.categories[2].boxes == 6 && r.categories[2].crowds == 0 &&
           r.categories[2].images == 6);
    mem_free(r.categories);
    dataset_close(d);
}

TEST(mean_and_deviation_are_those_of_all_pixels_whatever_the_threads)
{
    struct dataset *d = make(7, 3);
    struct inspect_report one, many;
    double sum[3] = {0}, squares[3] = {0}, n = 0;
    if (d == NULL) return;
    for (int i = 1; i <= 7; i++) {
        char *jpeg = NULL;
        size_t bytes = 0;
        struct image image;
        EXPECT_OK(file_read(test_path("images/%d.jpg", i), &jpeg, &bytes));
        EXPECT_OK(jpeg_decode((unsigned char *)jpeg, bytes, &image));
        for (int p = 0; p < image.h * image.w * 3; p++) {
            sum[p % 3] += image.pixels[p];
            squares[p % 3] += (double)image.pixels[p] * image.pixels[p];
        }
        n += (double)image.h * image.w;
        image_fini(&image);
        mem_free(jpeg);
    }
    EXPECT_OK(inspect_dataset(d, 1, &one));
    EXPECT_OK(inspect_dataset(d, 4, &many));
    for (int c = 0; c < 3; c++) {
        double mean = sum[c] / n, deviation = sqrt(squares[c] / n - mean * mean);
        EXPECT_EQ(one.channels[c].n, n);
        EXPECT_NEAR(one.channels[c].mean, mean / 255, 1e-12);
        EXPECT_NEAR(inspect_deviation(&one.channels[c]), deviation / 255, 1e-12);
        EXPECT(memcmp(&one.channels[c], &many.channels[c], sizeof one.channels[c]) == 0);
    }
    mem_free(one.categories);
    mem_free(many.categories);
    dataset_close(d);
}

TEST(the_json_says_the_same)
{
    struct dataset *d = make(5, 1);
    struct inspect_report r;
    char *text = NULL;
    size_t n = 0;
    struct json_document *json = NULL;
    int64_t images = 0;
    if (d == NULL) return;
    EXPECT_OK(inspect_dataset(d, 1, &r));
    FILE *f = open_memstream(&text, &n);
    inspect_write_json(&r, f);
    EXPECT_EQ(fclose(f), 0);
    EXPECT_OK(json_parse(text, n, "inspect", &json));
    if (json == NULL) return;
    EXPECT_OK(json_get_integer(json_root(json), "images", &images));
    EXPECT_EQ(images, 5);
    const struct json *means = json_find(json_root(json), "channel_mean");
    EXPECT(means != NULL && means->n == 3 && means->items[1].number == r.channels[1].mean);
    json_destroy(json);
    free(text);
    mem_free(r.categories);
    dataset_close(d);
}

TEST(pictures_are_drawn_for_so_many_records)
{
    struct dataset *d = make(5, 2);
    if (d == NULL) return;
    EXPECT_OK(inspect_draw(d, 3, test_path("pictures")));
    EXPECT(file_exists(test_path("pictures/2.png")) && file_exists(test_path("pictures/3.png")));
    EXPECT(file_exists(test_path("pictures/5.png")) && !file_exists(test_path("pictures/1.png")));
    EXPECT_OK(inspect_draw(d, 100, test_path("pictures")));
    EXPECT(file_exists(test_path("pictures/1.png")) && file_exists(test_path("pictures/4.png")));
    dataset_close(d);
}

TEST_MAIN()
