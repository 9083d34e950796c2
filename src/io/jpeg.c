// The wrapping of libjpeg. Its errors arrive by longjmp, which never leaves this file: every call
// into it happens below a function that has just called setjmp, and what that function must free
// lives in the struct it was handed, not in its own locals.
#include "io/jpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include "core/mem.h"

static const int64_t max_pixels = 178956970; // Pillow 13: 2 * Image.MAX_IMAGE_PIXELS

struct errors {
    struct jpeg_error_mgr base; // first, so that libjpeg's pointer is ours
    jmp_buf jump;
};

struct decoder {
    struct jpeg_decompress_struct info;
    struct errors errors;
    struct jpeg_source_mgr source;
    unsigned char *ink; // one row of four channels
    struct image *out;
};

static void on_error(j_common_ptr info)
{
    struct errors *errors = (struct errors *)info->err;
    longjmp(errors->jump, 1);
}

// Warnings are not failures, and nothing but the program's own log writes to stderr.
static void on_message(j_common_ptr info)
{
    (void)info;
}

static struct jpeg_error_mgr *errors_init(struct errors *errors)
{
    struct jpeg_error_mgr *base = jpeg_std_error(&errors->base);
    base->error_exit = on_error;
    base->output_message = on_message;
    return base;
}

static status fail_from(j_common_ptr info)
{
    char text[JMSG_LENGTH_MAX];
    (*info->err->format_message)(info, text);
    FAIL(E_FORMAT, "JPEG: %s", text);
}

// The whole file is in memory, so a request for more means that it is cut short: suspend.

static void source_stub(j_decompress_ptr info)
{
    (void)info;
}

static boolean source_fill(j_decompress_ptr info)
{
    (void)info;
    return FALSE;
}

static void source_skip(j_decompress_ptr info, long n)
{
    struct jpeg_source_mgr *source = info->src;
    size_t step = n < 0 ? 0 : (size_t)n;
    if (step > source->bytes_in_buffer) step = source->bytes_in_buffer;
    source->next_input_byte += step;
    source->bytes_in_buffer -= step;
}

static void source_init(struct decoder *d, const unsigned char *data, size_t n)
{
    d->source = (struct jpeg_source_mgr){
        .next_input_byte = data,
        .bytes_in_buffer = n,
        .init_source = source_stub,
        .fill_input_buffer = source_fill,
        .skip_input_data = source_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = source_stub,
    };
    d->info.src = &d->source;
}

static status read_header(struct decoder *d, const unsigned char *data, size_t n)
{
    jpeg_create_decompress(&d->info);
    source_init(d, data, n);
    int got;
    do got = jpeg_read_header(&d->info, FALSE);
    while (got == JPEG_HEADER_TABLES_ONLY);
    REQUIRE(got == JPEG_HEADER_OK, E_FORMAT, "JPEG: ends inside its header (%zu bytes)", n);
    REQUIRE(d->info.data_precision == 8, E_FORMAT, "JPEG: %d bits a sample, want 8",
            d->info.data_precision);
    int channels = d->info.num_components;
    REQUIRE(channels == 1 || channels == 3 || channels == 4, E_FORMAT,
            "JPEG: %d channels, want 1, 3 or 4", channels);
    REQUIRE((int64_t)d->info.image_width * d->info.image_height <= max_pixels, E_FORMAT,
            "JPEG: %u x %u pixels are more than the limit of %lld", d->info.image_width,
            d->info.image_height, (long long)max_pixels);
    return OK;
}

// Pillow's cmyk2rgb of inverted ink: with i = 255 - ink, channel = k - round((255 - c) * k / 255).
static void ink_to_rgb(const unsigned char *ink, int32_t w, unsigned char *rgb)
{
    for (int32_t x = 0; x < w; x++, ink += 4, rgb += 3) {
        for (int c = 0; c < 3; c++) {
            int product = (255 - ink[c]) * ink[3] + 128;
            int taken = ((product >> 8) + product) >> 8;
            int left = ink[3] - taken;
            rgb[c] = (unsigned char)(left < 0 ? 0 : left);
        }
    }
}

static status read_rows(struct decoder *d)
{
    struct jpeg_decompress_struct *info = &d->info;
    while (info->output_scanline < info->output_height) {
        size_t y = info->output_scanline;
        unsigned char *rgb = d->out->pixels + y * info->output_width * 3;
        JSAMPROW row = d->ink != NULL ? d->ink : rgb;
        REQUIRE(jpeg_read_scanlines(info, &row, 1) == 1, E_FORMAT,
                "JPEG: cut short: ends at row %zu of %u", y, info->output_height);
        if (d->ink != NULL) ink_to_rgb(d->ink, d->out->w, rgb);
    }
    // Reads on to the end marker, and may meet an error there. A missing end marker is none by now.
    (void)jpeg_finish_decompress(info);
    return OK;
}

static status decode(struct decoder *d, const unsigned char *data, size_t n)
{
    if (setjmp(d->errors.jump) != 0) return fail_from((j_common_ptr)&d->info);
    TRY(read_header(d, data, n));
    bool has_ink = d->info.num_components == 4;
    d->info.out_color_space = has_ink ? JCS_CMYK : JCS_RGB;
    d->info.dct_method = JDCT_ISLOW;
    d->info.do_fancy_upsampling = TRUE;
    REQUIRE(jpeg_start_decompress(&d->info), E_FORMAT, "JPEG: cut short: ends inside its scans");
    TRY(image_init((int32_t)d->info.output_height, (int32_t)d->info.output_width, d->out));
    if (has_ink) TRY(mem_alloc(&d->ink, (size_t)d->info.output_width * 4));
    return read_rows(d);
}

status jpeg_decode(const unsigned char *data, size_t n, struct image *out)
{
    *out = (struct image){0};
    struct decoder d = {.out = out};
    d.info.err = errors_init(&d.errors);
    status st = decode(&d, data, n);
    jpeg_destroy_decompress(&d.info);
    mem_free(d.ink);
    if (st != OK) image_fini(out);
    return st;
}

static status size_of(struct decoder *d, const unsigned char *data, size_t n)
{
    if (setjmp(d->errors.jump) != 0) return fail_from((j_common_ptr)&d->info);
    return read_header(d, data, n);
}

status jpeg_size(const unsigned char *data, size_t n, int32_t *h, int32_t *w)
{
    struct decoder d = {0};
    d.info.err = errors_init(&d.errors);
    status st = size_of(&d, data, n);
    *h = st == OK ? (int32_t)d.info.image_height : 0;
    *w = st == OK ? (int32_t)d.info.image_width : 0;
    jpeg_destroy_decompress(&d.info);
    return st;
}

// The encoder writes to memory that grows.

struct encoder {
    struct jpeg_compress_struct info;
    struct errors errors;
    struct jpeg_destination_mgr to;
    unsigned char *data;
    size_t n, capacity;
    status failure; // of memory, met inside a callback of libjpeg
};

static boolean to_grow(j_compress_ptr info)
{
    struct encoder *e = info->client_data;
    e->n = e->capacity; // libjpeg calls when all room is used, whatever free_in_buffer says
    e->failure = mem_grow(&e->data, &e->capacity, e->n + 1);
    if (e->failure != OK) longjmp(e->errors.jump, 1);
    e->to.next_output_byte = e->data + e->n;
    e->to.free_in_buffer = e->capacity - e->n;
    return TRUE;
}

static void to_begin(j_compress_ptr info)
{
    struct encoder *e = info->client_data;
    e->to.next_output_byte = e->data;
    e->to.free_in_buffer = e->capacity;
}

static void to_end(j_compress_ptr info)
{
    struct encoder *e = info->client_data;
    e->n = e->capacity - e->to.free_in_buffer;
}

static status encode(struct encoder *e, const struct image *image, int quality)
{
    if (setjmp(e->errors.jump) != 0)
        return e->failure != OK ? e->failure : fail_from((j_common_ptr)&e->info);
    struct jpeg_compress_struct *info = &e->info;
    jpeg_create_compress(info);
    info->client_data = e;
    info->dest = &e->to;
    info->image_width = (JDIMENSION)image->w;
    info->image_height = (JDIMENSION)image->h;
    info->input_components = 3;
    info->in_color_space = JCS_RGB;
    jpeg_set_defaults(info);
    jpeg_set_quality(info, quality, TRUE);
    jpeg_start_compress(info, TRUE);
    while (info->next_scanline < info->image_height) {
        JSAMPROW row = image->pixels + (size_t)info->next_scanline * info->image_width * 3;
        jpeg_write_scanlines(info, &row, 1);
    }
    jpeg_finish_compress(info);
    return OK;
}

status jpeg_encode(const struct image *image, int quality, unsigned char **data, size_t *n)
{
    ASSERT(quality >= 1 && quality <= 100);
    *data = NULL;
    *n = 0;
    struct encoder e = {.to = {.init_destination = to_begin,
                               .empty_output_buffer = to_grow,
                               .term_destination = to_end}};
    e.capacity = 0;
    TRY(mem_grow(&e.data, &e.capacity, (size_t)image->h * (size_t)image->w / 4 + 1024));
    e.info.err = errors_init(&e.errors);
    status st = encode(&e, image, quality);
    jpeg_destroy_compress(&e.info);
    if (st != OK) {
        mem_free(e.data);
        return st;
    }
    *data = e.data;
    *n = e.n;
    return OK;
}
