// Verification finds every flipped bit and says where it is.
#include "io/verify.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/dataset.h"
#include "io/example.h"
#include "io/mini_set.h"
#include "io/pack.h"

struct problems {
    int n;
    char first[1024], all[4096];
};

static void note(void *context, const char *what)
{
    struct problems *p = context;
    if (p->n++ == 0) snprintf(p->first, sizeof p->first, "%s", what);
    size_t used = strlen(p->all);
    snprintf(p->all + used, sizeof p->all - used, "%s\n", what);
}

static void pack(const char *out, int n, int shards)
{
    struct pack_report report;
    mini_images(n);
    mini_json(test_path("a.json"), n, false);
    EXPECT_OK(pack_coco(&(struct pack_params){.annotations = test_path("a.json"),
                                              .images = test_path("images"),
                                              .out = out,
                                              .shards = shards,
                                              .jobs = 1},
                        &report));
}

static status verify(const char *path, struct problems *p, struct verify_report *report)
{
    *p = (struct problems){0};
    return verify_dataset(path, 1, note, p, report);
}

TEST(a_good_data_set_has_no_problems)
{
    struct problems p;
    struct verify_report report;
    pack(test_path("good/set"), 7, 3);
    EXPECT_OK(verify(test_path("good/set"), &p, &report));
    EXPECT(p.n == 0 && report.problems == 0 && report.records == 7);
}

// One byte of a file, without the sync of file_write.
static void poke(const char *file, size_t at, char value)
{
    FILE *f = fopen(file, "r+b");
    EXPECT(f != NULL && fseek(f, (long)at, SEEK_SET) == 0 && fputc(value, f) != EOF &&
           fclose(f) == 0);
}

// Flips a bit of every stride-th byte of a file in turn; every one must be found.
static void flip_all(const char *set, const char *file, size_t stride, bool may_fail)
{
    char *data = NULL;
    size_t n = 0;
    EXPECT_OK(file_read(file, &data, &n));
    for (size_t i = 0; i < n; i += stride) {
        struct problems p;
        struct verify_report report;
        poke(file, i, (char)(data[i] ^ (char)(1 << i % 8)));
        status st = verify(set, &p, &report);
        bool found = st == OK ? p.n > 0 : may_fail && st == E_FORMAT;
        if (!found) test_fail(__FILE__, __LINE__, "%s: byte %zu: %s", file, i, status_name(st));
        poke(file, i, data[i]);
    }
    mem_free(data);
}

TEST(a_flipped_bit_anywhere_in_a_shard_is_found)
{
    pack(test_path("flip/set"), 2, 1);
    flip_all(test_path("flip/set"), test_path("flip/set.record-00000-of-00001"), 1, false);
}

TEST(a_flipped_bit_anywhere_in_an_index_is_found)
{
    pack(test_path("flipidx/set"), 2, 1);
    flip_all(test_path("flipidx/set"), test_path("flipidx/set.record-00000-of-00001.idx"), 1,
             false);
}

TEST(a_bad_record_is_named_with_shard_byte_and_image)
{
    struct problems p;
    struct verify_report report;
    struct dataset *d = NULL;
    struct record_image image;
    pack(test_path("name/set"), 9, 2);
    char *data = NULL;
    size_t n = 0;
    const char *shard = test_path("name/set.record-00001-of-00002");
    EXPECT_OK(file_read(shard, &data, &n));
    data[500] ^= 1; // in the middle of the first JPEG, image 3
    EXPECT_OK(file_write(shard, data, n));
    EXPECT_OK(verify(test_path("name/set"), &p, &report));
    EXPECT(p.n == 1 && report.records == 9);
    EXPECT_HAS(p.first, "set.record-00001-of-00002: record 0 at byte 0 (image 3): the content's "
                        "checksum is");
    EXPECT_OK(dataset_open(test_path("name/set"), &d));
    if (d == NULL) return;
    EXPECT_STATUS(dataset_read(d, 1, 0, &image), E_FORMAT);
    EXPECT_HAS(error_text(), "set.record-00001-of-00002: record at byte 0 (image 3): ");
    EXPECT_OK(dataset_read(d, 1, 1, &image));
    record_image_fini(&image);
    dataset_close(d);
    mem_free(data);
}

// The same image in a shard of its own, whose record says 65535 x 65535.
static void overstate(const char *set)
{
    static const struct category categories[] = {{1, 1, "a"}, {3, 3, "c"}, {4, 4, "d"}};
    struct dataset *d = NULL;
    struct record_image image = {0};
    unsigned char *frame = NULL;
    size_t n = 0;
    EXPECT_OK(dataset_open(set, &d));
    if (d == NULL) return;
    EXPECT_OK(dataset_read(d, 0, 0, &image));
    image.h = image.w = 65535;
    EXPECT_OK(example_encode(&image, categories, COUNT(categories), &frame, &n));
    char path[300];
    snprintf(path, sizeof path, "%s.record-00000-of-00001", set);
    EXPECT_OK(file_write(path, frame, n));
    snprintf(path, sizeof path, "%s.record-00000-of-00001.idx", set);
    EXPECT_EQ(unlink(path), 0);
    mem_free(frame);
    record_image_fini(&image);
    dataset_close(d);
}

TEST(a_record_that_says_another_size_than_its_jpeg_is_named)
{
    struct problems p;
    struct verify_report report;
    pack(test_path("big/set"), 1, 1);
    overstate(test_path("big/set"));
    EXPECT_OK(verify(test_path("big/set"), &p, &report));
    EXPECT(p.n >= 1);
    EXPECT_HAS(p.all, "the JPEG is 31 x 21 (width x height), but the record says 65535 x 65535");
}

TEST(records_are_found_without_their_index)
{
    struct problems p;
    struct verify_report report;
    pack(test_path("noidx/set"), 5, 1);
    EXPECT_EQ(unlink(test_path("noidx/set.record-00000-of-00001.idx")), 0);
    EXPECT_OK(verify(test_path("noidx/set"), &p, &report));
    EXPECT(p.n == 1 && report.records == 5);
    EXPECT_HAS(p.first, ".idx");
}

TEST(shards_of_another_data_set_of_the_same_size_are_found)
{
    struct problems p;
    struct verify_report report;
    pack(test_path("same1/set"), 3, 1);
    char *text = NULL;
    size_t n = 0;
    EXPECT_OK(file_read(test_path("a.json"), &text, &n));
    memcpy(strstr(text, ".25"), ".75", 3); // one area differs, every length is the same
    EXPECT_OK(file_write(test_path("b.json"), text, n));
    mem_free(text);
    struct pack_report packed;
    EXPECT_OK(pack_coco(&(struct pack_params){.annotations = test_path("b.json"),
                                              .images = test_path("images"),
                                              .out = test_path("same2/set"),
                                              .shards = 1},
                        &packed));
    EXPECT_OK(file_read(test_path("same2/set.record-00000-of-00001"), &text, &n));
    EXPECT_OK(file_write(test_path("same1/set.record-00000-of-00001"), text, n));
    mem_free(text);
    EXPECT_OK(verify(test_path("same1/set"), &p, &report));
    EXPECT_EQ(p.n, 1);
    EXPECT_HAS(p.first, "its records are whole, but others");
}

TEST(missing_shards_and_manifests_are_named)
{
    struct problems p;
    struct verify_report report;
    pack(test_path("gone/set"), 5, 2);
    EXPECT_EQ(unlink(test_path("gone/set.record-00001-of-00002")), 0);
    EXPECT_OK(verify(test_path("gone/set"), &p, &report));
    EXPECT(p.n >= 1);
    EXPECT_HAS(p.first, "set.record-00001-of-00002");
    EXPECT_EQ(unlink(test_path("gone/set.json")), 0);
    EXPECT_STATUS(verify(test_path("gone/set"), &p, &report), E_IO);
    EXPECT_HAS(error_text(), "shoal index");
}

TEST(a_shard_of_no_byte_is_named)
{
    struct problems p;
    struct verify_report report;
    struct dataset *d = NULL;
    pack(test_path("empty/set"), 5, 2);
    EXPECT_EQ(truncate(test_path("empty/set.record-00001-of-00002"), 0), 0);
    EXPECT_OK(verify(test_path("empty/set"), &p, &report));
    EXPECT(p.n >= 1);
    EXPECT_HAS(p.first, "set.record-00001-of-00002");
    status st = dataset_open(test_path("empty/set"), &d);
    EXPECT(st == E_FORMAT || st == E_IO);
    EXPECT_HAS(error_text(), "set.record-00001-of-00002");
    if (st == OK) dataset_close(d);
}

TEST(shards_of_two_data_sets_mixed_are_refused)
{
    struct problems p;
    struct verify_report report;
    struct dataset *d = NULL;
    pack(test_path("mix1/set"), 6, 2);
    pack(test_path("mix2/set"), 9, 2);
    static const char *const parts[] = {"set.record-00001-of-00002",
                                        "set.record-00001-of-00002.idx"};
    for (size_t i = 0; i < COUNT(parts); i++) { // the shard alone, then with its index
        char from[300], to[300];
        snprintf(from, sizeof from, "%s", test_path("mix2/%s", parts[i]));
        snprintf(to, sizeof to, "%s", test_path("mix1/%s", parts[i]));
        EXPECT_EQ(rename(from, to), 0);
        EXPECT_OK(verify(test_path("mix1/set"), &p, &report));
        EXPECT(p.n >= 1);
        EXPECT_HAS(p.first, "set.record-00001-of-00002");
        status st = dataset_open(test_path("mix1/set"), &d);
        EXPECT(st == E_FORMAT);
        EXPECT_HAS(error_text(), "set.record-00001-of-00002");
        if (st == OK) dataset_close(d);
    }
}

TEST_MAIN()
