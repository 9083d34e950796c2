// safetensors: files that the reference package wrote, files that break a rule, files of our own.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/safetensors.h"
#include "support/test.h"

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", test_folder(), name);
    return path;
}

// Without the fsync of file_write: there are many.
static void write_plain(const char *path, const void *data, size_t n)
{
    FILE *file = NULL;
    EXPECT_OK(file_open(path, "wb", &file));
    EXPECT_EQ(fwrite(data, 1, n, file), n);
    EXPECT_OK(file_close(file, path));
}

// A file of the header text and n_data bytes 0, 1, 2, ...
static const char *make_file(const char *header, size_t n_data)
{
    unsigned char bytes[4096] = {0};
    size_t n = strlen(header);
    bytes[0] = (unsigned char)(n & 255);
    bytes[1] = (unsigned char)(n >> 8);
    memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < n_data; i++) bytes[8 + n + i] = (unsigned char)i;
    const char *path = path_of("made.safetensors");
    write_plain(path, bytes, 8 + n + n_data);
    return path;
}

static void expect_refused(const char *header, size_t n_data, const char *why)
{
    struct safetensors *s;
    EXPECT_STATUS(safetensors_open(make_file(header, n_data), &s), E_FORMAT);
    EXPECT_HAS(error_text(), "made.safetensors: ");
    EXPECT_HAS(error_text(), why);
    EXPECT(s == NULL);
    safetensors_close(s);
}

static void expect_floats(const struct safetensors *s, const char *name, const char *want_name)
{
    const struct safetensors_entry *e = safetensors_find(s, name);
    const struct safetensors_entry *want = safetensors_find(s, want_name);
    float got[16];
    EXPECT(e != NULL && want != NULL && e->n == want->n && want->type == SAFETENSORS_TYPE_F32);
    if (e == NULL || want == NULL || e->n > COUNT(got)) return;
    EXPECT_OK(safetensors_to_float(e, got));
    EXPECT(memcmp(got, want->data, e->n * sizeof *got) == 0); // signs of zero included
}

TEST(every_type_of_the_reference_package_is_read)
{
    struct safetensors *s;
    EXPECT_OK(
        safetensors_open(test_source_path("tests/golden/safetensors/every_type.safetensors"), &s));
    if (s == NULL) return;
    EXPECT_EQ(safetensors_n(s), 13);
    const struct safetensors_entry *e = safetensors_find(s, "f32");
    EXPECT(e->n_dims == 2 && e->dim[0] == 2 && e->dim[1] == 3 && e->n == 6);
    for (int i = 0; i < 6; i++) EXPECT(((const float *)e->data)[i] == (float)i / 3.0f);
    expect_floats(s, "f16", "f16_as_f32");
    expect_floats(s, "bf16", "bf16_as_f32");
    float f64[2];
    EXPECT_OK(safetensors_to_float(safetensors_find(s, "f64"), f64));
    EXPECT(f64[0] == 1.0f / 3.0f && isinf(f64[1]));
    EXPECT(((const int64_t *)safetensors_find(s, "i64")->data)[0] == -((int64_t)1 << 62));
    EXPECT(((const int32_t *)safetensors_find(s, "i32")->data)[0] == -5);
    EXPECT(((const unsigned char *)safetensors_find(s, "u8")->data)[1] == 128);
    EXPECT(safetensors_find(s, "bool")->type == SAFETENSORS_TYPE_BOOL);
    e = safetensors_find(s, "scalar");
    EXPECT(e->n_dims == 0 && e->n == 1 && *(const float *)e->data == 2.5f);
    e = safetensors_find(s, "empty");
    EXPECT(e->n == 0 && e->dim[0] == 0 && e->dim[1] == 3);
    EXPECT(safetensors_find(s, "quote\" and \\ and \u00e9") != NULL);
    EXPECT_STR(safetensors_metadata(s, "\u00fc"), "a\"b\n");
    EXPECT(safetensors_metadata(s, "missing") == NULL);
    EXPECT(safetensors_find(s, "f3") == NULL && safetensors_find(s, "__metadata__") == NULL);
    EXPECT_STATUS(safetensors_to_float(safetensors_find(s, "i64"), f64), E_FORMAT);
    EXPECT_HAS(error_text(), "entry i64 holds I64, want floats");
    safetensors_close(s);
}

TEST(data_at_an_odd_address_is_copied_to_an_aligned_one)
{
    struct safetensors *s;
    EXPECT_OK(
        safetensors_open(test_source_path("tests/golden/safetensors/unaligned.safetensors"), &s));
    if (s == NULL) return;
    const struct safetensors_entry *e = safetensors_find(s, "x");
    EXPECT_EQ((uintptr_t)e->data % 4, 0);
    EXPECT(((const float *)e->data)[0] == 1.5f && ((const float *)e->data)[1] == -8.0f);
    EXPECT(((const unsigned char *)safetensors_find(s, "u")->data)[0] == 7);
    safetensors_close(s);
}

TEST(a_file_that_breaks_a_rule_is_refused_with_the_reason)
{
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9,
                   "entries end at byte 8 of 9");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7,
                   "entry a: data_offsets [0, 8] do not lie in the file's 7 bytes of data");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
                   "entry a: shape and dtype want 8 bytes, data_offsets hold 4");
    expect_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                   "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
                   3, "entry b begins at byte 1 of the data, where 2 is the next (overlap)");
    expect_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                   "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]}}",
                   5, "where 2 is the next (hole)");
    expect_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                   "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
                   2, "two entries are called a");
    expect_refused("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
                   "entry a: dtype F8_E4M3 is none of");
    expect_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}", 1,
                   "dimension 0 is -1");
    expect_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],"
                   "\"data_offsets\":[0,0]}}",
                   0, "more elements than can be counted");
    expect_refused("{\"a\":{\"dtype\":\"F64\",\"shape\":[4611686018427387904],"
                   "\"data_offsets\":[0,0]}}",
                   0, "more bytes than can be addressed");
    expect_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],"
                   "\"data_offsets\":[0,1]}}",
                   1, "9 dimensions, at most 8");
    expect_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", 1,
                   "data_offsets [1, 0]");
    expect_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1,
                   "data_offsets has 1 numbers");
    expect_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1.5],\"data_offsets\":[0,1]}}", 1,
                   "entry a: ");
    expect_refused("{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype");
    expect_refused("{\"a\":7}", 0, "entry a: is a number");
    expect_refused("{\"__metadata__\":{\"k\":1}}", 0, "entry __metadata__: ");
    expect_refused("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "stands twice");
    expect_refused("{\"a\":", 0, "header");
    expect_refused("[1]", 0, "its header is no object");
    expect_refused("", 0, "its header is no object");
}

TEST(a_file_with_a_false_length_is_refused)
{
    struct safetensors *s;
    const char *path = path_of("length.safetensors");
    EXPECT_OK(file_write(path, "\x02\0\0", 3));
    EXPECT_STATUS(safetensors_open(path, &s), E_FORMAT);
    EXPECT_OK(file_write(path, "\x03\0\0\0\0\0\0\0{}", 10));
    EXPECT_STATUS(safetensors_open(path, &s), E_FORMAT);
    EXPECT_HAS(error_text(), "cut short");
    EXPECT_OK(file_write(path, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10));
    EXPECT_STATUS(safetensors_open(path, &s), E_FORMAT);
    EXPECT_OK(file_write(path, "\0\0\0\0\0\x01\0\0{}", 10)); // a header of 2^40 bytes
    EXPECT_STATUS(safetensors_open(path, &s), E_FORMAT);
    EXPECT_HAS(error_text(), path);
    EXPECT_OK(file_write(path, "\x02\0\0\0\0\0\0\0{}", 10));
    EXPECT_OK(safetensors_open(path, &s));
    EXPECT_EQ(safetensors_n(s), 0);
    safetensors_close(s);
    EXPECT_STATUS(safetensors_open(path_of("missing"), &s), E_IO);
}

// Anything may come out of a damaged file but a crash; ASan watches.
TEST(any_byte_of_the_header_changed_ends_in_success_or_a_reason)
{
    char *data;
    size_t n;
    EXPECT_OK(
        file_read(test_source_path("tests/golden/safetensors/every_type.safetensors"), &data, &n));
    const char *path = path_of("damaged.safetensors");
    for (size_t i = 0; i < 1000 && i < n; i++) {
        static const char changes[] = {'\xff', '1', '9', '}', '"', ' '};
        char old = data[i];
        data[i] = changes[i % sizeof changes];
        write_plain(path, data, n);
        struct safetensors *s;
        status st = safetensors_open(path, &s);
        EXPECT(st == OK || (st == E_FORMAT && error_text()[0] != '\0'));
        safetensors_close(s);
        data[i] = old;
    }
    mem_free(data);
}

static status write_example(const char *path)
{
    static const double scalar = 2.5;
    static const float floats[] = {1.5f, -8.0f};
    static const unsigned char bytes[] = {1, 2, 3};
    struct safetensors_writer *w = NULL;
    status st = OK;
    TRY(safetensors_writer_create(&w));
    TRY_GOTO(st, safetensors_add_metadata(w, "format", "pt"), out);
    TRY_GOTO(st, safetensors_add(w, "b", SAFETENSORS_TYPE_U8, 1, (int64_t[]){3}, bytes), out);
    TRY_GOTO(st, safetensors_add(w, "w", SAFETENSORS_TYPE_F32, 1, (int64_t[]){2}, floats), out);
    TRY_GOTO(st, safetensors_add(w, "none", SAFETENSORS_TYPE_F32, 2, (int64_t[]){0, 4}, NULL), out);
    TRY_GOTO(st, safetensors_add(w, "s", SAFETENSORS_TYPE_F64, 0, NULL, &scalar), out);
    TRY_GOTO(st, safetensors_write(w, path), out);
out:
    safetensors_writer_destroy(w);
    return st;
}

// tests/golden/make_safetensors.py feeds these bytes to the reference package.
TEST(written_bytes_are_those_that_the_reference_package_was_seen_to_read)
{
    const char *header =
        "{\"__metadata__\": {\"format\": \"pt\"}, "
        "\"b\": {\"dtype\": \"U8\", \"shape\": [3], \"data_offsets\": [16, 19]}, "
        "\"w\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [8, 16]}, "
        "\"none\": {\"dtype\": \"F32\", \"shape\": [0, 4], \"data_offsets\": [16, 16]}, "
        "\"s\": {\"dtype\": \"F64\", \"shape\": [], \"data_offsets\": [0, 8]}}\n";
    const char *path = path_of("example.safetensors");
    EXPECT_OK(write_example(path));
    char *data = NULL;
    size_t n = 0, length = (strlen(header) + 7) / 8 * 8;
    EXPECT_OK(file_read(path, &data, &n));
    EXPECT_EQ(n, 8 + length + 19);
    EXPECT_EQ((unsigned char)data[0] + 256 * (unsigned char)data[1], length);
    EXPECT(memcmp(data + 8, header, strlen(header)) == 0);
    EXPECT(data[8 + length + 16] == 1 && data[8 + length + 18] == 3);
    mem_free(data);
}

TEST(what_was_written_is_read_back_in_the_order_added)
{
    struct safetensors *s;
    const char *path = path_of("example.safetensors");
    EXPECT_OK(write_example(path));
    EXPECT_OK(safetensors_open(path, &s));
    if (s == NULL) return;
    static const char *names[] = {"b", "w", "none", "s"};
    EXPECT_EQ(safetensors_n(s), 4);
    for (int i = 0; i < 4; i++) EXPECT_STR(safetensors_at(s, i)->name, names[i]);
    EXPECT(((const float *)safetensors_at(s, 1)->data)[1] == -8.0f);
    EXPECT(*(const double *)safetensors_at(s, 3)->data == 2.5);
    EXPECT_STR(safetensors_metadata(s, "format"), "pt");
    safetensors_close(s);
}

TEST(names_that_stand_twice_are_refused_when_added)
{
    struct safetensors_writer *w;
    float one = 1;
    EXPECT_OK(safetensors_writer_create(&w));
    EXPECT_OK(safetensors_add(w, "a", SAFETENSORS_TYPE_F32, 0, NULL, &one));
    EXPECT_STATUS(safetensors_add(w, "a", SAFETENSORS_TYPE_F32, 0, NULL, &one), E_ARG);
    EXPECT_STATUS(safetensors_add(w, "__metadata__", SAFETENSORS_TYPE_F32, 0, NULL, &one), E_ARG);
    EXPECT_OK(safetensors_add_metadata(w, "k", "v"));
    EXPECT_STATUS(safetensors_add_metadata(w, "k", "v"), E_ARG);
    EXPECT_STATUS(safetensors_write(w, "/nonexistent/folder/x"), E_IO);
    safetensors_writer_destroy(w);
}

TEST(every_allocation_that_fails_is_reported_and_leaks_nothing)
{
    const char *path = path_of("failing.safetensors");
    int fail_at = 0;
    for (status st = E_NOMEM; st == E_NOMEM;) {
        mem_fail_at(++fail_at);
        st = write_example(path);
        mem_fail_at(0);
        EXPECT(st == OK || st == E_NOMEM);
    }
    EXPECT(fail_at > 4);
    fail_at = 0;
    for (status st = E_NOMEM; st == E_NOMEM;) {
        struct safetensors *s;
        mem_fail_at(++fail_at);
        st = safetensors_open(path, &s);
        mem_fail_at(0);
        EXPECT(st == OK || st == E_NOMEM);
        safetensors_close(s);
    }
    EXPECT(fail_at > 4);
}

TEST_MAIN()
