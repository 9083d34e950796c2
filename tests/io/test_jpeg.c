// JPEG decoding against Pillow's pixels (tests/golden/make_jpeg.py), and against broken files.
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/jpeg.h"
#include "support/test.h"

// zlib's crc32, bit by bit through a table.
static uint32_t crc32_of(const unsigned char *data, size_t n)
{
    static uint32_t table[256];
    for (uint32_t i = 0; table[1] == 0 || i < 256; i++) {
        uint32_t value = i & 255;
        for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ (0xedb88320u & -(value & 1));
        table[i & 255] = value;
    }
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) crc = (crc >> 8) ^ table[(crc ^ data[i]) & 255];
    return ~crc;
}

// One line of a listing: file, then "error" or height, width, CRC of the pixels.
static void check_line(const char *folder, const char *name, const char *want)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char *data = NULL;
    size_t n = 0;
    if (!file_exists(path)) return; // listings are of optional files, too
    EXPECT_OK(file_read(path, &data, &n));
    struct image image;
    status st = jpeg_decode((unsigned char *)data, n, &image);
    char got[64] = "error";
    if (st == OK)
        snprintf(got, sizeof got, "%d\t%d\t%08x", image.h, image.w,
                 crc32_of(image.pixels, (size_t)image.h * (size_t)image.w * 3));
    if (strcmp(got, want) != 0)
        test_fail(__FILE__, __LINE__, "%s: got %s, want %s (%s)", name, got, want,
                  st == OK ? "decoded" : error_text());
    int32_t h, w;
    status size_st = jpeg_size((unsigned char *)data, n, &h, &w);
    if (st == OK) EXPECT(size_st == OK && h == image.h && w == image.w);
    if (st != OK) EXPECT(st == E_FORMAT && strncmp(error_text(), "JPEG: ", 6) == 0);
    image_fini(&image);
    mem_free(data);
}

static int check_listing(const char *listing, const char *folder)
{
    char *text = NULL, *rest = NULL;
    size_t n = 0;
    int n_lines = 0;
    EXPECT_OK(file_read(test_source_path(listing), &text, &n));
    if (text == NULL) return 0;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *tab = strchr(line, '\t');
        if (line[0] == '#' || tab == NULL) continue;
        *tab = '\0';
        check_line(folder, line, tab + 1);
        n_lines++;
    }
    mem_free(text);
    return n_lines;
}

TEST(small_files_of_every_kind_decode_to_pillows_pixels)
{
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", test_source_path("tests/golden/jpeg"));
    EXPECT_EQ(check_listing("tests/golden/jpeg/small.tsv", folder), 21);
}

TEST(coco_and_odd_files_decode_to_pillows_pixels)
{
    const char *shared = test_shared_data("jpeg_odd");
    if (shared == NULL) {
        printf("  no shared data: nothing to compare\n");
        return;
    }
    char folder[4096];
    snprintf(folder, sizeof folder, "%.*s", (int)(strlen(shared) - strlen("/jpeg_odd")), shared);
    EXPECT(check_listing("tests/golden/jpeg/shared.tsv", folder) > 300);
}

static void read_golden(const char *name, char **data, size_t *n)
{
    char path[256];
    snprintf(path, sizeof path, "tests/golden/jpeg/%s", name);
    EXPECT_OK(file_read(test_source_path(path), data, n));
}

TEST(a_file_cut_anywhere_is_an_error_or_whole_and_never_crashes)
{
    const char *names[] = {"rgb_420_45x61.jpg", "rgb_progressive_50x37.jpg", "cmyk_37x26.jpg"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char *data = NULL;
        size_t n = 0;
        read_golden(names[i], &data, &n);
        for (size_t cut = 0; cut + 16 < n; cut++) {
            unsigned char *part = NULL; // its own block, so that a read past the cut is seen
            EXPECT_OK(mem_alloc(&part, cut));
            memcpy(part, data, cut);
            struct image image;
            EXPECT_STATUS(jpeg_decode(part, cut, &image), E_FORMAT);
            EXPECT(image.pixels == NULL);
            mem_free(part);
        }
        mem_free(data);
    }
}

TEST(a_file_with_any_byte_changed_never_crashes)
{
    char *data = NULL;
    size_t n = 0;
    read_golden("rgb_420_45x61.jpg", &data, &n);
    for (size_t i = 0; i < n; i++) {
        if (i > 2 && data[i - 1] == '\xff') continue; // keeps the frame small
        char old = data[i];
        data[i] = (char)~old;
        int32_t h, w;
        struct image image = {0};
        if (jpeg_size((unsigned char *)data, n, &h, &w) == OK && (int64_t)h * w < 1 << 22) {
            status st = jpeg_decode((unsigned char *)data, n, &image);
            EXPECT(st == OK || st == E_FORMAT);
        }
        image_fini(&image);
        data[i] = old;
    }
    mem_free(data);
}

// Writes height and width over those of the frame header (SOF0, SOF1 or SOF2).
static void set_size(unsigned char *data, size_t n, unsigned h, unsigned w)
{
    for (size_t at = 2; at + 9 < n && data[at] == 0xff;) {
        if (data[at + 1] >= 0xc0 && data[at + 1] <= 0xc2) {
            const unsigned char size[] = {(unsigned char)(h >> 8), (unsigned char)h,
                                          (unsigned char)(w >> 8), (unsigned char)w};
            memcpy(data + at + 5, size, sizeof size);
            return;
        }
        at += 2 + ((size_t)data[at + 2] << 8 | data[at + 3]);
    }
    EXPECT(false);
}

TEST(sizes_over_the_limit_are_refused_before_any_memory_is_asked_for)
{
    const char *names[] = {"rgb_420_45x61.jpg", "rgb_progressive_50x37.jpg", "cmyk_37x26.jpg"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char *data = NULL;
        size_t n = 0;
        int32_t h, w;
        struct image image;
        read_golden(names[i], &data, &n);
        unsigned char *bytes = (unsigned char *)data;
        set_size(bytes, n, 65535, 65535);
        int64_t before = mem_n_allocs();
        EXPECT_STATUS(jpeg_size(bytes, n, &h, &w), E_FORMAT);
        EXPECT_STATUS(jpeg_decode(bytes, n, &image), E_FORMAT);
        EXPECT_HAS(error_text(), "65500"); // libjpeg's own bound comes first
        EXPECT(h == 0 && w == 0 && image.pixels == NULL && mem_n_allocs() == before);
        set_size(bytes, n, 65500, 65500);
        EXPECT_STATUS(jpeg_size(bytes, n, &h, &w), E_FORMAT);
        EXPECT_STATUS(jpeg_decode(bytes, n, &image), E_FORMAT);
        EXPECT_HAS(error_text(), "JPEG: 65500 x 65500 pixels are more than the limit of 178956970");
        EXPECT(image.pixels == NULL && mem_n_allocs() == before);
        mem_free(data);
    }
}

TEST(a_size_just_below_the_limit_with_few_pixels_behind_it_is_cut_short)
{
    char *data = NULL;
    size_t n = 0;
    int32_t h, w;
    struct image image;
    read_golden("rgb_420_45x61.jpg", &data, &n);
    set_size((unsigned char *)data, n, 2732, 65500); // 178,946,000 pixels
    EXPECT_OK(jpeg_size((unsigned char *)data, n, &h, &w));
    EXPECT(h == 2732 && w == 65500);
    n -= 2; // the end marker, which would stand for the missing pixels
    EXPECT_STATUS(jpeg_decode((unsigned char *)data, n, &image), E_FORMAT);
    EXPECT_HAS(error_text(), "JPEG: cut short");
    EXPECT(image.pixels == NULL);
    mem_free(data);
}

TEST(every_allocation_that_fails_is_reported_and_leaks_nothing)
{
    char *data = NULL;
    size_t n = 0;
    read_golden("cmyk_37x26.jpg", &data, &n);
    struct image image = {0};
    int fail_at = 0;
    for (status st = E_NOMEM; st == E_NOMEM;) {
        mem_fail_at(++fail_at);
        st = jpeg_decode((unsigned char *)data, n, &image);
        mem_fail_at(0);
        EXPECT(st == OK || (st == E_NOMEM && image.pixels == NULL));
    }
    EXPECT(fail_at > 1);
    image_fini(&image);
    mem_free(data);
}

TEST(encoding_keeps_the_picture_and_fails_cleanly)
{
    struct image image = {0}, back = {0};
    EXPECT_OK(image_init(50, 70, &image));
    for (int32_t i = 0; i < 50 * 70 * 3; i++)
        image.pixels[i] = (unsigned char)(40 + i % 3 * 50 + i / 210 + i % 210 / 6);
    unsigned char *data = NULL;
    size_t n = 0;
    int fail_at = 0;
    for (status st = E_NOMEM; st == E_NOMEM;) {
        mem_fail_at(++fail_at);
        st = jpeg_encode(&image, 95, &data, &n);
        mem_fail_at(0);
        EXPECT(st == OK || (st == E_NOMEM && data == NULL));
    }
    EXPECT_OK(jpeg_decode(data, n, &back));
    EXPECT(back.h == 50 && back.w == 70);
    int largest = 0;
    for (int32_t i = 0; back.pixels != NULL && i < 50 * 70 * 3; i++) {
        int difference = image.pixels[i] - back.pixels[i];
        if (difference < 0) difference = -difference;
        if (difference > largest) largest = difference;
    }
    EXPECT(largest <= 8); // a smooth ramp at quality 95
    image_fini(&image);
    image_fini(&back);
    mem_free(data);
}

TEST(a_large_noisy_picture_outgrows_the_first_buffer)
{
    struct image image = {0}, back = {0};
    EXPECT_OK(image_init(200, 200, &image));
    uint32_t state = 1;
    for (int32_t i = 0; i < 200 * 200 * 3; i++) {
        state = state * 1664525u + 1013904223u;
        image.pixels[i] = (unsigned char)(state >> 24);
    }
    unsigned char *data = NULL;
    size_t n = 0;
    EXPECT_OK(jpeg_encode(&image, 100, &data, &n));
    EXPECT(n > 200 * 200 / 4 + 1024);
    EXPECT_OK(jpeg_decode(data, n, &back));
    EXPECT(back.h == 200 && back.w == 200);
    image_fini(&image);
    image_fini(&back);
    mem_free(data);
}

TEST_MAIN()
