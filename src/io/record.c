// TFRecord framing.
#include "io/record.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

// ISA-L's function neither begins nor ends with the inversion that CRC-32C is defined with, and
// takes an int.
uint32_t record_crc(uint32_t crc, const void *data, size_t n)
{
    enum { PIECE = 1 << 30 };
    unsigned char *p = (unsigned char *)(uintptr_t)data; // the library reads only
    crc = ~crc;
    while (n > 0) {
        int piece = n < PIECE ? (int)n : PIECE;
        crc = crc32_iscsi(p, piece, crc);
        p += piece;
        n -= (size_t)piece;
    }
    return ~crc;
}

// A CRC of data that holds CRCs is weak; the mask avoids that.
uint32_t record_mask(uint32_t crc)
{
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

static void put32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) to[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t get32(const unsigned char *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

void record_make_header(uint64_t n, unsigned char header[RECORD_HEADER_BYTES])
{
    put32(header, (uint32_t)n);
    put32(header + 4, (uint32_t)(n >> 32));
    put32(header + 8, record_mask(record_crc(0, header, 8)));
}

void record_make_footer(const void *payload, size_t n, unsigned char footer[RECORD_FOOTER_BYTES])
{
    put32(footer, record_mask(record_crc(0, payload, n)));
}

status record_check_header(const unsigned char header[RECORD_HEADER_BYTES], uint64_t *n)
{
    uint32_t got = record_mask(record_crc(0, header, 8)), want = get32(header + 8);
    REQUIRE(got == want, E_FORMAT, "the length's checksum is %08x, want %08x", got, want);
    *n = (uint64_t)get32(header) | (uint64_t)get32(header + 4) << 32;
    return OK;
}

static status check_payload(const unsigned char *frame, size_t n)
{
    uint32_t got = record_mask(record_crc(0, frame + RECORD_HEADER_BYTES, n));
    uint32_t want = get32(frame + RECORD_HEADER_BYTES + n);
    REQUIRE(got == want, E_FORMAT, "the content's checksum is %08x, want %08x", got, want);
    return OK;
}

status record_check(const unsigned char *frame, size_t frame_bytes, const unsigned char **payload,
                    size_t *n)
{
    uint64_t length;
    REQUIRE(frame_bytes >= RECORD_FRAME_BYTES, E_FORMAT, "a frame of %zu bytes is too short",
            frame_bytes);
    TRY(record_check_header(frame, &length));
    REQUIRE(length == frame_bytes - RECORD_FRAME_BYTES, E_FORMAT,
            "a record of %llu bytes in a frame of %zu", (unsigned long long)length, frame_bytes);
    *n = (size_t)length;
    *payload = frame + RECORD_HEADER_BYTES;
    return check_payload(frame, *n);
}

status record_open_file(const char *path, int *fd, uint64_t *bytes)
{
    struct stat info;
    do *fd = open(path, O_RDONLY | O_CLOEXEC);
    while (*fd < 0 && errno == EINTR);
    REQUIRE(*fd >= 0, E_IO, "cannot open %s: %s", path, strerror(errno));
    if (fstat(*fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        (void)close(*fd);
        FAIL(E_IO, "cannot read %s: not a file", path);
    }
    *bytes = (uint64_t)info.st_size;
    return OK;
}

status record_read_at(int fd, const char *path, uint64_t offset, void *to, size_t n)
{
    unsigned char *p = to;
    while (n > 0) {
        ssize_t got = pread(fd, p, n, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        REQUIRE(got >= 0, E_IO, "cannot read %s at %llu: %s", path, (unsigned long long)offset,
                strerror(errno));
        REQUIRE(got > 0, E_FORMAT, "%s ends at %llu, in the middle of a record", path,
                (unsigned long long)offset);
        p += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return OK;
}

status record_reader_open(const char *path, struct record_reader *out)
{
    *out = (struct record_reader){.fd = -1, .path = path};
    return record_open_file(path, &out->fd, &out->bytes);
}

void record_reader_close(struct record_reader *r)
{
    if (r->fd >= 0) (void)close(r->fd);
    mem_free(r->frame);
    *r = (struct record_reader){.fd = -1};
}

// Reads the frame at r->offset; *frame_bytes is set as soon as it is known.
static status read_frame(struct record_reader *r, uint64_t *frame_bytes)
{
    uint64_t left = r->bytes - r->offset, n;
    unsigned char header[RECORD_HEADER_BYTES];
    REQUIRE(left >= RECORD_FRAME_BYTES, E_FORMAT, "%llu bytes are left, fewer than a record takes",
            (unsigned long long)left);
    TRY(record_read_at(r->fd, r->path, r->offset, header, sizeof header));
    TRY(record_check_header(header, &n));
    REQUIRE(n <= left - RECORD_FRAME_BYTES, E_FORMAT,
            "a record of %llu bytes, but the file ends after %llu", (unsigned long long)n,
            (unsigned long long)(left - RECORD_FRAME_BYTES));
    *frame_bytes = n + RECORD_FRAME_BYTES;
    TRY(mem_grow(&r->frame, &r->capacity, (size_t)*frame_bytes));
    TRY(record_read_at(r->fd, r->path, r->offset, r->frame, (size_t)*frame_bytes));
    return check_payload(r->frame, (size_t)n);
}

status record_reader_next(struct record_reader *r, uint64_t *offset, uint64_t *frame_bytes,
                          const unsigned char **payload, size_t *n)
{
    *offset = r->offset;
    *frame_bytes = 0;
    if (r->offset >= r->bytes) return E_END;
    status st = read_frame(r, frame_bytes);
    r->offset = *frame_bytes > 0 ? r->offset + *frame_bytes : r->bytes;
    if (st != OK) {
        error_prefix("%s: record at byte %llu", r->path, (unsigned long long)*offset);
        return st;
    }
    *payload = r->frame + RECORD_HEADER_BYTES;
    *n = (size_t)(*frame_bytes - RECORD_FRAME_BYTES);
    return OK;
}
