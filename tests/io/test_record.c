// TFRecord framing and its index.
#include "io/record.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/record_index.h"
#include "support/test.h"

TEST(the_checksum_is_castagnolis)
{
    EXPECT_EQ(record_crc(0, "123456789", 9), 0xe3069283u);
    EXPECT_EQ(record_crc(0, "", 0), 0);
    EXPECT_EQ(record_crc(record_crc(0, "1234", 4), "56789", 5), 0xe3069283u);
    unsigned char zeros[32] = {0}; // RFC 3720, B.4
    EXPECT_EQ(record_crc(0, zeros, 32), 0x8a9136aau);
}

static void make_frame(const char *text, unsigned char *frame, size_t *n)
{
    size_t bytes = strlen(text);
    record_make_header(bytes, frame);
    memcpy(frame + RECORD_HEADER_BYTES, text, bytes);
    record_make_footer(text, bytes, frame + RECORD_HEADER_BYTES + bytes);
    *n = bytes + RECORD_FRAME_BYTES;
}

TEST(a_frame_is_checked_to_the_last_bit)
{
    unsigned char frame[64];
    const unsigned char *payload;
    size_t n, bytes;
    make_frame("some payload", frame, &bytes);
    EXPECT_OK(record_check(frame, bytes, &payload, &n));
    EXPECT_EQ(n, 12);
    EXPECT(memcmp(payload, "some payload", 12) == 0);
    for (size_t bit = 0; bit < bytes * 8; bit++) {
        frame[bit / 8] ^= (unsigned char)(1 << bit % 8);
        EXPECT_STATUS(record_check(frame, bytes, &payload, &n), E_FORMAT);
        frame[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (size_t shorter = 0; shorter < bytes; shorter++)
        EXPECT_STATUS(record_check(frame, shorter, &payload, &n), E_FORMAT);
}

static char path[256];

static void write_file(const void *data, size_t n)
{
    snprintf(path, sizeof path, "%s/x.record", test_folder());
    EXPECT_OK(file_write(path, data, n));
}

TEST(frames_are_read_one_after_another)
{
    unsigned char all[256];
    size_t a, b, n;
    uint64_t offset, bytes;
    const unsigned char *payload;
    struct record_reader r;
    make_frame("first", all, &a);
    make_frame("", all + a, &b);
    write_file(all, a + b);
    EXPECT_OK(record_reader_open(path, &r));
    EXPECT_OK(record_reader_next(&r, &offset, &bytes, &payload, &n));
    EXPECT(offset == 0 && bytes == 21 && n == 5 && memcmp(payload, "first", 5) == 0);
    EXPECT_OK(record_reader_next(&r, &offset, &bytes, &payload, &n));
    EXPECT(offset == 21 && bytes == 16 && n == 0);
    EXPECT_STATUS(record_reader_next(&r, &offset, &bytes, &payload, &n), E_END);
    record_reader_close(&r);
}

TEST(after_a_bad_payload_the_next_frame_is_found_after_a_bad_length_nothing_is)
{
    unsigned char all[256];
    size_t a, b, n;
    uint64_t offset, bytes;
    const unsigned char *payload;
    struct record_reader r;
    make_frame("first", all, &a);
    make_frame("second", all + a, &b);
    all[14] ^= 1;
    write_file(all, a + b);
    EXPECT_OK(record_reader_open(path, &r));
    EXPECT_STATUS(record_reader_next(&r, &offset, &bytes, &payload, &n), E_FORMAT);
    EXPECT_HAS(error_text(), "x.record: record at byte 0: the content's checksum is");
    EXPECT_EQ(bytes, 21);
    EXPECT_OK(record_reader_next(&r, &offset, &bytes, &payload, &n));
    EXPECT(n == 6 && memcmp(payload, "second", 6) == 0);
    record_reader_close(&r);
    all[3] ^= 1;
    write_file(all, a + b);
    EXPECT_OK(record_reader_open(path, &r));
    EXPECT_STATUS(record_reader_next(&r, &offset, &bytes, &payload, &n), E_FORMAT);
    EXPECT_EQ(bytes, 0);
    EXPECT_STATUS(record_reader_next(&r, &offset, &bytes, &payload, &n), E_END);
    record_reader_close(&r);
}

TEST(lengths_beyond_the_file_are_refused)
{
    static const uint64_t lengths[] = {7, 1000, UINT64_C(1) << 63, UINT64_MAX};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        unsigned char frame[RECORD_FRAME_BYTES + 6] = {0};
        uint64_t offset, bytes;
        const unsigned char *payload;
        size_t n;
        struct record_reader r;
        record_make_header(lengths[i], frame);
        write_file(frame, sizeof frame);
        EXPECT_OK(record_reader_open(path, &r));
        EXPECT_STATUS(record_reader_next(&r, &offset, &bytes, &payload, &n), E_FORMAT);
        EXPECT_HAS(error_text(), "but the file ends after");
        record_reader_close(&r);
    }
    struct record_reader r;
    EXPECT_STATUS(record_reader_open(test_folder(), &r), E_IO);
    EXPECT_STATUS(record_reader_open("/nowhere/x", &r), E_IO);
}

static status read_index(const char *text, uint64_t bytes, struct record_index *index)
{
    uint32_t crc;
    write_file(text, strlen(text));
    return record_index_read(path, bytes, index, &crc);
}

TEST(an_index_reads_back_and_is_checked)
{
    struct record_index index = {0}, again;
    char *text;
    size_t n;
    uint32_t crc;
    EXPECT_OK(record_index_add(&index, 0, 100));
    EXPECT_OK(record_index_add(&index, 100, 16));
    EXPECT_OK(record_index_print(&index, &text, &n));
    EXPECT_STR(text, "0 100\n100 16\n");
    write_file(text, n);
    EXPECT_OK(record_index_read(path, 116, &again, &crc));
    EXPECT_EQ(crc, record_crc(0, text, n));
    EXPECT(again.n == 2 && again.spans[1].offset == 100 && again.spans[1].bytes == 16);
    mem_free(text);
    record_index_fini(&index);
    record_index_fini(&again);
    EXPECT_OK(read_index("", 0, &again)); // a shard without records
    record_index_fini(&again);
    static const char *const bad[] = {"0 100\n101 16\n",
                                      "0 100\n",
                                      "0 100 5\n",
                                      "0\n",
                                      "x",
                                      "0 15\n",
                                      "0 -1\n",
                                      "0  116\n",
                                      " 0 116\n",
                                      "0 99999999999999999999\n",
                                      "0 116\n\n",
                                      "0 18446744073709551615\n"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        EXPECT_STATUS(read_index(bad[i], 116, &again), E_FORMAT);
        EXPECT_HAS(error_text(), "x.record:");
    }
}

TEST_MAIN()
