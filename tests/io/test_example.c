// Examples: written as Google's protobuf writes them, and read as others write them.
#include "io/example.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/rng.h"
#include "io/record.h"
#include "support/test.h"

static const struct category categories[] = {{1, 1, "person"}, {2, 3, "car"}, {3, 18, "dog"}};

static void read_golden(const char *name, char **data, size_t *n)
{
    char relative[128];
    snprintf(relative, sizeof relative, "tests/golden/%s", name);
    EXPECT_OK(file_read(test_source_path(relative), data, n));
}

static struct annotation annotations[] = {
    {7, 1, 1.5, 2.25, 30.1, 40.0, 1000.125, 1, false},
    {900100184613, 18, -3.0, 10.0, 80.0, 5.0, 400.0, 3, true},
    {9, 3, 7.0, 7.0, 0.0, 3.0, 0.0, 2, false},
};

static struct record_image make_image(char *jpeg, size_t n)
{
    return (struct record_image){.id_text = "42",
                                 .id = 42,
                                 .id_is_number = true,
                                 .file_name = "rgb_420_45x61.jpg",
                                 .h = 45,
                                 .w = 61,
                                 .jpeg = (unsigned char *)jpeg,
                                 .jpeg_bytes = n,
                                 .n_annotations = 3,
                                 .annotations = annotations};
}

TEST(an_example_is_what_googles_protobuf_writes)
{
    char *jpeg = NULL, *want = NULL;
    size_t n_jpeg = 0, n_want = 0, n = 0;
    unsigned char *frame = NULL;
    read_golden("jpeg/rgb_420_45x61.jpg", &jpeg, &n_jpeg);
    read_golden("records/ours.record", &want, &n_want);
    struct record_image image = make_image(jpeg, n_jpeg);
    EXPECT_OK(example_encode(&image, categories, 3, &frame, &n));
    EXPECT_EQ(n, n_want);
    EXPECT(n == n_want && memcmp(frame, want, n) == 0);
    mem_free(frame), mem_free(jpeg), mem_free(want);
}

TEST(what_was_written_is_read_back_to_the_bit)
{
    char *jpeg = NULL;
    size_t n_jpeg = 0, bytes = 0, n = 0;
    unsigned char *frame = NULL;
    const unsigned char *payload = NULL;
    struct record_image back;
    struct example_gaps gaps;
    read_golden("jpeg/rgb_420_45x61.jpg", &jpeg, &n_jpeg);
    struct record_image image = make_image(jpeg, n_jpeg);
    EXPECT_OK(example_encode(&image, categories, 3, &frame, &bytes));
    EXPECT_OK(record_check(frame, bytes, &payload, &n));
    EXPECT_OK(example_decode(payload, n, &back, &gaps));
    EXPECT(!gaps.no_id && !gaps.no_annotation_ids);
    EXPECT_STR(back.id_text, "42");
    EXPECT(back.id_is_number && back.id == 42 && back.id_key == 42);
    EXPECT_STR(back.file_name, "rgb_420_45x61.jpg");
    EXPECT(back.h == 45 && back.w == 61);
    EXPECT(back.jpeg_bytes == n_jpeg && memcmp(back.jpeg, jpeg, n_jpeg) == 0);
    EXPECT_EQ(back.n_annotations, 3);
    for (int i = 0; i < 3 && i < back.n_annotations; i++) {
        const struct annotation *a = &back.annotations[i], *b = &annotations[i];
        EXPECT(a->id == b->id && a->category_id == b->category_id && a->label == b->label &&
               a->is_crowd == b->is_crowd && a->area == b->area);
        EXPECT(a->x == b->x && a->y == b->y && a->w == b->w && a->h == b->h);
    }
    record_image_fini(&back);
    mem_free(frame), mem_free(jpeg);
}

TEST(a_text_id_stays_text_even_where_it_looks_like_a_number)
{
    unsigned char jpeg[] = {1, 2, 3}, *frame = NULL;
    struct record_image image = {.id_text = "42", .h = 1, .w = 1, .jpeg = jpeg, .jpeg_bytes = 3},
                        back;
    struct example_gaps gaps;
    size_t bytes = 0, n;
    const unsigned char *payload;
    EXPECT_OK(example_encode(&image, categories, 3, &frame, &bytes));
    EXPECT_OK(record_check(frame, bytes, &payload, &n));
    EXPECT_OK(example_decode(payload, n, &back, &gaps));
    EXPECT(!back.id_is_number && back.id_key == rng_id_from_text("42"));
    EXPECT(back.n_annotations == 0 && !gaps.no_annotation_ids);
    record_image_fini(&back);
    mem_free(frame);
}

TEST(records_of_others_give_pixels)
{
    char path[512];
    struct record_reader r;
    struct record_image image;
    struct example_gaps gaps;
    uint64_t offset, bytes;
    const unsigned char *payload;
    size_t n;
    snprintf(path, sizeof path, "%s",
             test_source_path("tests/golden/records/theirs.record-00000-of-00002"));
    EXPECT_OK(record_reader_open(path, &r));
    EXPECT_OK(record_reader_next(&r, &offset, &bytes, &payload, &n));
    EXPECT_OK(example_decode(payload, n, &image, &gaps));
    EXPECT(gaps.no_annotation_ids && !gaps.no_id && image.n_annotations == 0);
    EXPECT_STR(image.id_text, "empty.jpg"); // its source_id is empty
    EXPECT(!image.id_is_number && image.h == 29 && image.w == 41);
    record_image_fini(&image);
    EXPECT_OK(record_reader_next(&r, &offset, &bytes, &payload, &n));
    EXPECT_OK(example_decode(payload, n, &image, &gaps));
    EXPECT(image.id_is_number && image.id == 139 && image.n_annotations == 2);
    const struct annotation *a = image.annotations;
    EXPECT_NEAR(a[0].x, 4.1, 41 * 1e-7);
    EXPECT_NEAR(a[0].y, 8.2, 29 * 1e-7);
    EXPECT_NEAR(a[0].w, 20.5, 41 * 1e-7);
    EXPECT_NEAR(a[0].h, 14.5, 29 * 1e-7);
    EXPECT(a[0].area == 150.25 && a[0].label == 18 && a[0].category_id == 18 && !a[0].is_crowd);
    EXPECT(a[1].is_crowd && a[1].w == 41 && a[1].h == 29);
    record_image_fini(&image);
    EXPECT_OK(record_reader_next(&r, &offset, &bytes, &payload, &n));
    EXPECT_OK(example_decode(payload, n, &image, &gaps));
    EXPECT_STR(image.id_text, "0042"); // not how a program writes a number
    EXPECT(!image.id_is_number);
    record_image_fini(&image);
    record_reader_close(&r);
}

// Every cut and every changed byte ends in an error or in a record, never in a crash.
TEST(broken_examples_never_crash)
{
    char *all = NULL;
    size_t n = 0;
    read_golden("records/ours.record", &all, &n);
    unsigned char *payload = (unsigned char *)all + RECORD_HEADER_BYTES;
    size_t bytes = n - RECORD_FRAME_BYTES, n_refused = 0;
    for (size_t i = 0; i < bytes; i++) {
        for (int k = 0; k < 3; k++) {
            struct record_image image;
            struct example_gaps gaps;
            unsigned char before = payload[i];
            payload[i] = k == 0 ? (unsigned char)~before : (unsigned char)(before + k);
            if (example_decode(payload, bytes, &image, &gaps) == OK)
                record_image_fini(&image);
            else
                n_refused++;
            payload[i] = before;
        }
        struct record_image image;
        struct example_gaps gaps;
        if (example_decode(payload, i, &image, &gaps) == OK) record_image_fini(&image);
    }
    EXPECT(n_refused > 100);
    mem_free(all);
}

TEST(failing_allocations_leave_nothing_behind)
{
    char *all = NULL;
    size_t n = 0;
    read_golden("records/ours.record", &all, &n);
    for (int64_t at = 1; at < 500; at++) {
        struct record_image image;
        struct example_gaps gaps;
        unsigned char *frame = NULL;
        size_t bytes;
        mem_fail_at(at);
        status st = example_decode((unsigned char *)all + RECORD_HEADER_BYTES,
                                   n - RECORD_FRAME_BYTES, &image, &gaps);
        bool decoded = st == OK;
        if (decoded) {
            st = example_encode(&image, categories, 3, &frame, &bytes);
            mem_free(frame);
            record_image_fini(&image);
        }
        mem_fail_at(0);
        if (st == OK) {
            EXPECT(at > 30);
            mem_free(all);
            return;
        }
        EXPECT_EQ(st, E_NOMEM);
    }
    EXPECT(false);
}

TEST_MAIN()
