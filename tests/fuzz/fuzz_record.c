// TFRecord frames as they come and with their checksums put right, and an index.
#include "core/mem.h"
#include "fuzz/fuzz.h"
#include "io/record.h"
#include "io/record_index.h"

#include <string.h>

static void read_frames(const char *path)
{
    struct record_reader r;
    status st = record_reader_open(path, &r);
    fuzz_expect(st);
    if (st != OK) return;
    for (;;) {
        uint64_t offset, bytes;
        const unsigned char *payload;
        size_t n;
        st = record_reader_next(&r, &offset, &bytes, &payload, &n);
        if (st == E_END) break;
        fuzz_expect(st);
        if (st == OK && n > 0 && payload[0] + payload[n - 1] > 1000) break; // reads them
        if (st != OK && bytes == 0) break;
    }
    record_reader_close(&r);
}

// As if a writer had made these frames: the lengths are the fuzzer's, the checksums fit.
static void mend(uint8_t *data, size_t n)
{
    for (size_t at = 0; n - at >= RECORD_FRAME_BYTES;) {
        uint64_t length = 0;
        for (int i = 7; i >= 0; i--) length = length << 8 | data[at + (size_t)i];
        record_make_header(length, data + at);
        if (length > n - at - RECORD_FRAME_BYTES) break;
        uint8_t *payload = data + at + RECORD_HEADER_BYTES;
        record_make_footer(payload, (size_t)length, payload + length);
        at += RECORD_FRAME_BYTES + (size_t)length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *path = fuzz_file(data, n);
    struct record_index index = {0};
    uint32_t crc;
    fuzz_expect(record_index_read(path, n, &index, &crc));
    record_index_fini(&index);
    read_frames(path);
    uint8_t *copy = NULL;
    if (mem_alloc(&copy, n) != OK) return 0;
    memcpy(copy, data, n);
    mend(copy, n);
    read_frames(fuzz_file(copy, n));
    mem_free(copy);
    return 0;
}
