// Goes through a record file.
#include "io/scan.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "io/jpeg.h"
#include "io/parallel.h"
#include "io/record.h"

enum { BATCH_PER_JOB = 8 };

struct slot {
    struct scan_record record;
    struct record_image image;
    struct error error;
    unsigned char *frame;
    size_t capacity;
};

struct scan {
    const struct scan_params *p;
    int fd;
    uint64_t file_bytes, offset, number;
    struct slot *slots;
    uint32_t crc;
};

// ---- One record, on any thread
// -------------------------------------------------------------------

static status check_jpeg(const struct record_image *image, bool decode_pixels)
{
    int32_t h, w;
    TRY(jpeg_size(image->jpeg, image->jpeg_bytes, &h, &w));
    REQUIRE(h == image->h && w == image->w, E_FORMAT,
            "the JPEG is %d x %d (width x height), but the record says %d x %d", w, h, image->w,
            image->h);
    if (!decode_pixels) return OK;
    struct image pixels;
    TRY(jpeg_decode(image->jpeg, image->jpeg_bytes, &pixels));
    image_fini(&pixels);
    return OK;
}

static status check_frame(const struct scan *s, struct slot *slot)
{
    struct scan_record *r = &slot->record;
    TRY(record_check(slot->frame, (size_t)r->bytes, &r->payload, &r->n));
    TRY(example_decode(r->payload, r->n, &slot->image, &r->gaps));
    return check_jpeg(&slot->image, s->p->decode_pixels);
}

// The image's id as far as it can be read: its bytes may be the bad ones.
static void name_image(struct slot *slot, char *who, size_t n)
{
    struct example_gaps gaps;
    who[0] = '\0';
    bool is_decoded = slot->image.id_text != NULL ||
                      (slot->record.bytes >= RECORD_FRAME_BYTES &&
                       example_decode(slot->frame + RECORD_HEADER_BYTES,
                                      (size_t)slot->record.bytes - RECORD_FRAME_BYTES, &slot->image,
                                      &gaps) == OK);
    if (is_decoded && slot->image.id_text != NULL)
        (void)snprintf(who, n, " (image %s)", slot->image.id_text);
}

static void keep_error(const struct scan *s, struct slot *slot, status st)
{
    char who[256];
    error_save(st, &slot->error);
    name_image(slot, who, sizeof who);
    (void)error_restore(&slot->error);
    error_prefix("%s: record %llu at byte %llu%s", s->p->path,
                 (unsigned long long)slot->record.number, (unsigned long long)slot->record.offset,
                 who);
    error_save(st, &slot->error);
    slot->record.st = st;
    slot->record.error = &slot->error;
}

static void check(void *context, size_t i)
{
    struct scan *s = context;
    struct slot *slot = &s->slots[i];
    if (slot->record.st != OK) return;
    status st = check_frame(s, slot);
    if (st != OK) keep_error(s, slot, st);
}

// ---- Reading, in order
// ---------------------------------------------------------------------------

// The length of the frame at s->offset, 0 with the reason where there is no telling.
static status find_length(const struct scan *s, uint64_t *bytes)
{
    unsigned char header[RECORD_HEADER_BYTES];
    uint64_t left = s->file_bytes - s->offset, n;
    *bytes = 0;
    if (s->p->index != NULL) {
        *bytes = s->p->index->spans[s->number].bytes;
        return OK;
    }
    REQUIRE(left >= RECORD_FRAME_BYTES, E_FORMAT, "%llu bytes are left, fewer than a record takes",
            (unsigned long long)left);
    TRY(record_read_at(s->fd, s->p->path, s->offset, header, sizeof header));
    TRY(record_check_header(header, &n));
    REQUIRE(n <= left - RECORD_FRAME_BYTES, E_FORMAT,
            "a record of %llu bytes, but the file ends after %llu", (unsigned long long)n,
            (unsigned long long)(left - RECORD_FRAME_BYTES));
    *bytes = n + RECORD_FRAME_BYTES;
    return OK;
}

static status read_slot(struct scan *s, struct slot *slot)
{
    slot->record = (struct scan_record){.number = s->number, .offset = s->offset};
    slot->record.image = &slot->image;
    status st = find_length(s, &slot->record.bytes);
    if (st == E_FORMAT) {
        keep_error(s, slot, st);
        s->offset = s->file_bytes;
        return OK;
    }
    if (st != OK) return st;
    size_t n = (size_t)slot->record.bytes;
    TRY(mem_grow(&slot->frame, &slot->capacity, n));
    TRY(record_read_at(s->fd, s->p->path, s->offset, slot->frame, n));
    s->crc = record_crc(s->crc, slot->frame, n);
    s->offset += n;
    s->number++;
    return OK;
}

static bool is_done(const struct scan *s)
{
    if (s->p->index != NULL) return s->number >= s->p->index->n;
    return s->offset >= s->file_bytes;
}

static status scan_batch(struct scan *s, size_t most)
{
    size_t n = 0;
    while (n < most && !is_done(s)) TRY(read_slot(s, &s->slots[n++]));
    parallel_for(s->p->jobs, n, check, s);
    for (size_t i = 0; i < n; i++) {
        struct slot *slot = &s->slots[i];
        if (slot->record.st == E_NOMEM) return error_restore(&slot->error);
        if (slot->record.st != OK) slot->record.image = NULL;
        status st = s->p->visit(s->p->context, &slot->record);
        record_image_fini(&slot->image);
        if (st != OK) return st;
    }
    return OK;
}

status scan_file(const struct scan_params *p, uint32_t *crc)
{
    struct scan s = {.p = p, .fd = -1};
    size_t most = (size_t)p->jobs * BATCH_PER_JOB;
    status st = OK;
    TRY_GOTO(st, record_open_file(p->path, &s.fd, &s.file_bytes), out);
    TRY_GOTO(st, mem_zalloc(&s.slots, most), out);
    while (!is_done(&s)) TRY_GOTO(st, scan_batch(&s, most), out);
    *crc = s.crc;
out:
    for (size_t i = 0; s.slots != NULL && i < most; i++) {
        record_image_fini(&s.slots[i].image);
        mem_free(s.slots[i].frame);
    }
    mem_free(s.slots);
    if (s.fd >= 0) (void)close(s.fd);
    return st;
}
