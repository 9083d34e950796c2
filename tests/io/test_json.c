// JSON: trees, rows, what is refused and where, and writing.
#include "io/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/json_write.h"
#include "support/test.h"

// Without the sync of core/file.h: there are thousands of files here.
static void write_plain(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "wb");
    EXPECT(f != NULL && fwrite(text, 1, n, f) == n && fclose(f) == 0);
}

static status parse(const char *text, struct json_document **d)
{
    return json_parse(text, strlen(text), "t.json", d);
}

TEST(a_tree_holds_values_kinds_keys_and_lines)
{
    struct json_document *d = NULL;
    EXPECT_OK(
        parse("{\"a\": [1, -2.5, true, null],\n \"b\\u0041\": \"x\\n\\u00e9\",\n \"c\": {}}", &d));
    const struct json *root = json_root(d), *a = json_find(root, "a"), *b = json_find(root, "bA");
    EXPECT_EQ(root->n, 3);
    EXPECT_EQ(a->n, 4);
    EXPECT(a->items[0].is_integer && a->items[0].integer == 1 && a->items[0].number == 1.0);
    EXPECT(!a->items[1].is_integer && a->items[1].number == -2.5);
    EXPECT(a->items[2].kind == JSON_KIND_BOOL && a->items[2].truth);
    EXPECT_EQ(a->items[3].kind, JSON_KIND_NULL);
    EXPECT_STR(b->text, "x\n\xc3\xa9");
    EXPECT_EQ(b->line, 2);
    EXPECT_EQ(json_find(root, "c")->n, 0);
    EXPECT(json_find(root, "d") == NULL);
    json_destroy(d);
}

TEST(numbers_are_the_nearest_doubles_and_wide_ones_are_read)
{
    struct json_document *d = NULL;
    EXPECT_OK(parse("[0.1, 9007199254740993, 18446744073709551615, 123456789012345678901234567890,"
                    " 1e400, 2.2250738585072011e-308, 1e308, -0.0, 3.0]",
                    &d));
    const struct json *v = json_root(d)->items;
    EXPECT(v[0].number == 0.1);
    EXPECT(v[1].is_integer && v[1].integer == 9007199254740993);
    EXPECT(!v[2].is_integer && v[2].number == 18446744073709551616.0);
    EXPECT(v[3].number == 123456789012345678901234567890.0);
    EXPECT(isinf(v[4].number));
    EXPECT(v[5].number == 2.2250738585072011e-308);
    EXPECT(v[6].number == 1e308);
    EXPECT(v[7].number == 0 && signbit(v[7].number));
    EXPECT(!v[8].is_integer);
    EXPECT_EQ(json_root(d)->n, 9);
    json_destroy(d);
}

TEST(the_last_of_a_repeated_key_counts_and_all_are_kept)
{
    struct json_document *d = NULL;
    int64_t a = 0;
    EXPECT_OK(parse("{\"a\": 1, \"a\": 2}", &d));
    EXPECT_OK(json_get_integer(json_root(d), "a", &a));
    EXPECT_EQ(a, 2);
    EXPECT_EQ(json_root(d)->n, 2);
    json_destroy(d);
}

TEST(wrong_kinds_and_missing_keys_are_named_with_their_line)
{
    struct json_document *d = NULL;
    int64_t integer;
    const char *text;
    EXPECT_OK(parse("{\n\"step\": \"x\",\n\"half\": 0.5, \"nul\": \"a\\u0000b\"}", &d));
    const struct json *root = json_root(d);
    EXPECT_STATUS(json_get_integer(root, "step", &integer), E_FORMAT);
    EXPECT_STR(error_text(), "t.json:2: \"step\" is a string, want a number");
    EXPECT_STATUS(json_get_integer(root, "half", &integer), E_FORMAT);
    EXPECT_HAS(error_text(), "t.json:3: half is 0.5, want an integer");
    EXPECT_STATUS(json_get_integer(root, "epoch", &integer), E_FORMAT);
    EXPECT_HAS(error_text(), "t.json:1: no \"epoch\"");
    EXPECT_STATUS(json_get_text(root, "nul", &text), E_FORMAT);
    json_destroy(d);
}

TEST(what_is_not_json_is_refused_with_its_place)
{
    static const char *const bad[] = {
        "",           " ",          "{",    "[1,",      "[1 2]",      "{\"a\" 1}", "[1]]",  "[1] 2",
        "{\"a\":1}x", "[01]",       "[1.]", "[+1]",     "[.5]",       "[NaN]",     "[nul]", "[tru]",
        "[\"a]",      "[\"\\x\"]",  "[1,]", "{\"a\":}", "{\"a\":1,}", "[}",        "7",     "\"a\"",
        "[\"\xff\"]", "[Infinity]", "[1e]", "{1: 2}",   "[\"a\nb\"]", "]",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct json_document *d = NULL;
        status st = parse(bad[i], &d);
        if (st != E_FORMAT) test_fail(__FILE__, __LINE__, "%s gives %s", bad[i], status_name(st));
        EXPECT_HAS(error_text(), "t.json:");
        if (st == OK) json_destroy(d);
    }
    struct json_document *d = NULL;
    EXPECT_STATUS(parse("{\"a\": 1,\n\"b\": nul}", &d), E_FORMAT);
    EXPECT_HAS(error_text(), "t.json:2: not JSON: want null (byte 14 of 18)");
}

TEST(nesting_has_a_bound)
{
    char deep[3000];
    struct json_document *d = NULL;
    memset(deep, '[', 1400);
    memset(deep + 1400, ']', 1400);
    EXPECT_STATUS(json_parse(deep, 2800, "t.json", &d), E_FORMAT);
    memset(deep, '[', 128);
    memset(deep + 128, ']', 128);
    EXPECT_OK(json_parse(deep, 256, "t.json", &d));
    json_destroy(d);
}

TEST(every_truncation_of_a_document_is_refused)
{
    static const char whole[] =
        "{\"a\": [1, -2.5e3, true, null], \"b\": {\"c\": \"x\\u00e9y\"}, \"d\": \"\"}";
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        struct json_document *d = NULL;
        status st = json_parse(whole, n, "t.json", &d);
        if (st != E_FORMAT)
            test_fail(__FILE__, __LINE__, "first %zu bytes: %s", n, status_name(st));
        if (st == OK) json_destroy(d);
    }
}

TEST(failing_allocations_leave_nothing_behind)
{
    for (int64_t n = 1; n < 100; n++) {
        struct json_document *d = NULL;
        mem_fail_at(n);
        status st = parse("{\"a\": [1, 2, [3, \"x\"]], \"b\": {\"c\": 4}}", &d);
        mem_fail_at(0);
        if (st == OK) {
            EXPECT(n > 3);
            json_destroy(d);
            return;
        }
        EXPECT_EQ(st, E_NOMEM);
    }
    EXPECT(false);
}

struct seen {
    int n_images, n_annotations;
    double sum;
    char last_text[64];
    bool all_numbers;
    size_t n;
};

static status see_image(void *context, const struct json_row *row)
{
    struct seen *s = context;
    REQUIRE(row->index == (uint64_t)s->n_images, E_ARG, "index");
    s->n_images++;
    if (row->cells[1].present) memcpy(s->last_text, row->cells[1].text, row->cells[1].text_bytes);
    return OK;
}

static status see_annotation(void *context, const struct json_row *row)
{
    struct seen *s = context;
    s->n_annotations++;
    if (!row->cells[0].present) return OK;
    s->all_numbers = row->cells[0].all_numbers;
    s->n = row->cells[0].n;
    for (size_t i = 0; i < row->cells[0].n && i < JSON_CELL_NUMBERS; i++)
        s->sum += row->cells[0].numbers[i];
    REQUIRE(!row->cells[1].present || row->cells[1].number < 100, E_UNSUPPORTED, "row's own");
    return OK;
}

static const char *const image_columns[] = {"id", "file_name"};
static const char *const annotation_columns[] = {"bbox", "area"};
static const struct json_table tables[] = {
    {"images", image_columns, 2, see_image, false},
    {"annotations", annotation_columns, 2, see_annotation, false},
    {"categories", image_columns, 2, see_image, true},
};

static status read_rows(const char *text, struct seen *s)
{
    char path[256];
    snprintf(path, sizeof path, "%s/rows.json", test_folder());
    write_plain(path, text, strlen(text));
    *s = (struct seen){0};
    return json_read_tables(path, tables, 3, s);
}

TEST(rows_are_handed_over_in_the_files_order)
{
    struct seen s;
    EXPECT_OK(
        read_rows("\xef\xbb\xbf{\"info\": {\"images\": [1]}, \"annotations\": [{\"segmentation\": "
                  "[[1, 2, [3]]], \"b\\u0062ox\": [1, 2, 3.5, 4, 5]}, {}, {\"area\": 7, \"bbox\": "
                  "[1, \"x\"]}], \"images\": [{\"id\": 1, \"file_name\": \"a\"}, "
                  "{\"file_name\": \"a\\\"b\"}]}",
                  &s));
    EXPECT_EQ(s.n_images, 2);
    EXPECT_EQ(s.n_annotations, 3);
    EXPECT(s.sum == 11.5);
    EXPECT_EQ(s.n, 2);
    EXPECT(!s.all_numbers);
    EXPECT_STR(s.last_text, "a\"b");
}

TEST(files_that_end_anywhere_in_a_page_are_read)
{
    for (size_t n = 4000; n < 4200; n++) {
        char text[4300];
        struct seen s;
        int used = snprintf(text, sizeof text,
                            "{\"images\": [{\"id\": 1}], \"annotations\": [%*s]}", (int)n - 42, "");
        EXPECT_EQ(used, (int)n);
        EXPECT_OK(read_rows(text, &s));
        EXPECT_EQ(s.n_images, 1);
    }
}

TEST(bad_rows_are_refused)
{
    struct seen s;
    EXPECT_STATUS(read_rows("{\"images\": []}", &s), E_FORMAT);
    EXPECT_HAS(error_text(), "no \"annotations\"");
    EXPECT_STATUS(read_rows("[]", &s), E_FORMAT);
    EXPECT_HAS(error_text(), "want an object, not an array");
    EXPECT_STATUS(read_rows("{\"images\": {}, \"annotations\": []}", &s), E_FORMAT);
    EXPECT_HAS(error_text(), "want an array for this key");
    EXPECT_STATUS(read_rows("{\"images\": [], \"images\": [], \"annotations\": []}", &s), E_FORMAT);
    EXPECT_STATUS(read_rows("{\"images\": [3], \"annotations\": []}", &s), E_FORMAT);
    EXPECT_STATUS(
        read_rows("{\"images\": [], \"annotations\": [{\"bbox\": [], \"area\": 1e5}]}", &s),
        E_UNSUPPORTED);
    EXPECT_STR(error_text(), "row's own");
    EXPECT_STATUS(read_rows("{\"images\": [],\n \"annotations\": [{\"area\": 01}]}", &s), E_FORMAT);
    EXPECT_HAS(error_text(), "rows.json:2: not JSON: a number is malformed");
}

TEST(every_truncation_of_rows_is_refused)
{
    static const char whole[] = "{\"images\": [{\"id\": 1, \"x\": [[1]]}], \"annotations\": "
                                "[{\"bbox\": [1, 2, 3, 4], \"segmentation\": [[1, 2]]}], \"z\": 1}";
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        char text[sizeof whole];
        struct seen s;
        snprintf(text, sizeof text, "%.*s", (int)n, whole);
        status st = read_rows(text, &s);
        if (st != E_FORMAT)
            test_fail(__FILE__, __LINE__, "first %zu bytes: %s", n, status_name(st));
    }
}

TEST(what_is_written_reads_back_the_same)
{
    static const double numbers[] = {0.1,    1.0 / 3, 1e-300, 123456789.125,
                                     5e-324, -0.0,    1e22,   0.29999999999999999};
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    struct json_write w;
    json_write_init(&w, f, 1);
    json_write_object(&w, NULL);
    json_write_text(&w, "t", "a\"\\\n\t\x01\xc3\xa9");
    json_write_array(&w, "numbers");
    for (size_t i = 0; i < COUNT(numbers); i++) json_write_number(&w, NULL, numbers[i]);
    json_write_end(&w);
    json_write_integer(&w, "least", INT64_MIN);
    json_write_bool(&w, "yes", true);
    json_write_number(&w, "nan", (double)NAN);
    json_write_digits(&w, "nine", 1.0 / 3, 9);
    json_write_object(&w, "empty");
    json_write_end(&w);
    json_write_end(&w);
    EXPECT_EQ(fclose(f), 0);
    struct json_document *d = NULL;
    EXPECT_OK(json_parse(text, n, "t.json", &d));
    const struct json *root = json_root(d);
    EXPECT_STR(json_find(root, "t")->text, "a\"\\\n\t\x01\xc3\xa9");
    for (size_t i = 0; i < COUNT(numbers); i++)
        EXPECT(memcmp(&json_find(root, "numbers")->items[i].number, &numbers[i], 8) == 0);
    EXPECT_EQ(json_find(root, "least")->integer, INT64_MIN);
    EXPECT_EQ(json_find(root, "nan")->kind, JSON_KIND_NULL);
    EXPECT_HAS(text, "[0.1, 0.3333333333333333, 1e-300, 123456789.125, ");
    EXPECT_HAS(text, ",\n \"nine\": 0.333333333,\n \"empty\": {}\n}\n");
    json_destroy(d);
    free(text);
}

TEST_MAIN()
