// Manifests and label maps.
#include "io/manifest.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/label_map.h"
#include "support/test.h"

// Without the sync of core/file.h: there are thousands of files here.
static void write_plain(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "wb");
    EXPECT(f != NULL && fwrite(text, 1, n, f) == n && fclose(f) == 0);
}

static const struct category categories[] = {
    {18, 18, "dog \"\\\n\xc3\xa9"}, {1, 1, "person"}, {3, 3, "car"}};

static void make(struct manifest *m)
{
    struct manifest_shard *s;
    *m = (struct manifest){0};
    EXPECT_OK(manifest_set_categories(m, categories, 3));
    EXPECT_OK(manifest_add_shard(m, "a.record-00000-of-00002", &s));
    *s = (struct manifest_shard){s->file, 3, 2, 1000, 0x12345678, 0xabc, 0, NULL};
    EXPECT_OK(manifest_add_shard(m, "a.record-00001-of-00002", &s));
    *s = (struct manifest_shard){s->file, 2, 1, 900, 1, 2, 1, NULL};
    EXPECT_OK(mem_alloc(&s->empty, 1));
    s->empty[0] = 0;
    m->counts = (struct manifest_counts){5, 3, 9, 1, 2, 3};
}

static const char *manifest_path(void)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/a.json", test_folder());
    return path;
}

TEST(a_manifest_reads_back_the_same)
{
    struct manifest m, back;
    uint64_t a = 0, b = 1;
    make(&m);
    EXPECT_OK(manifest_write(&m, manifest_path()));
    EXPECT_OK(manifest_read(manifest_path(), &back));
    EXPECT_OK(manifest_checksum(&m, &a));
    EXPECT_OK(manifest_checksum(&back, &b));
    EXPECT(a == b);
    EXPECT(back.n_categories == 3 && back.categories[0].label == 1);
    EXPECT_STR(back.categories[2].name, "dog \"\\\n\xc3\xa9");
    EXPECT(back.n_shards == 2 && back.shards[0].crc == 0x12345678 && back.shards[1].n_empty == 1);
    EXPECT_EQ(back.counts.boxes_past_edge, 3);
    back.categories[1].id++;
    EXPECT_OK(manifest_checksum(&back, &b));
    EXPECT(a != b);
    manifest_fini(&m);
    manifest_fini(&back);
}

TEST(every_changed_character_that_matters_is_found)
{
    struct manifest m, back;
    char *text = NULL;
    size_t n = 0, n_accepted = 0;
    uint64_t want = 0, got = 0;
    make(&m);
    EXPECT_OK(manifest_write(&m, manifest_path()));
    EXPECT_OK(manifest_checksum(&m, &want));
    EXPECT_OK(file_read(manifest_path(), &text, &n));
    for (size_t i = 0; i < n; i++) {
        text[i] ^= 1;
        write_plain(manifest_path(), text, n);
        text[i] ^= 1;
        if (manifest_read(manifest_path(), &back) != OK) {
            EXPECT_HAS(error_text(), "a.json");
            continue;
        }
        n_accepted++; // a key that is not needed; what was read must be the same
        EXPECT_OK(manifest_checksum(&back, &got));
        EXPECT(got == want);
        manifest_fini(&back);
    }
    EXPECT(n_accepted < n / 20);
    mem_free(text);
    manifest_fini(&m);
}

static void refuse(const char *from, const char *to, const char *message)
{
    struct manifest m, back;
    char *text = NULL, changed[4096];
    size_t n = 0;
    make(&m);
    EXPECT_OK(manifest_write(&m, manifest_path()));
    manifest_fini(&m);
    EXPECT_OK(file_read(manifest_path(), &text, &n));
    const char *at = strstr(text, from);
    EXPECT(at != NULL);
    if (at != NULL)
        snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, to,
                 at + strlen(from));
    EXPECT_OK(file_write(manifest_path(), changed, strlen(changed)));
    EXPECT_STATUS(manifest_read(manifest_path(), &back), E_FORMAT);
    EXPECT_HAS(error_text(), message);
    mem_free(text);
}

TEST(manifests_that_do_not_hold_together_are_refused)
{
    refuse("\"version\": 1", "\"version\": 2", "version 2, this program reads 1");
    refuse("shoal records", "other", "format is \"other\"");
    refuse("\"name\": \"car\"", "\"name\": \"cat\"", "its checksum is");
    refuse("\"images\": 5", "\"images\": 6", "6 images, 3 with boxes, but its shards hold 5 and 3");
    refuse("\"label\": 3,", "\"label\": 1,", "want labels from 1 in ascending order");
    refuse("\"a.record-00001-of-00002\"", "\"../b\"", "is no file beside the manifest");
    refuse("\"records\": 3", "\"records\": -3", "want 0 or more");
    refuse("[0]", "[2]", "ascending record numbers");
    refuse("\"crc32c\": \"12345678\"", "\"crc32c\": \"1234567\"", "want 8 hexadecimal digits");
    refuse("\"shards\"", "\"chards\"", "no \"shards\"");
}

static const char *map_path(const char *text)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/a.pbtxt", test_folder());
    if (text != NULL) write_plain(path, text, strlen(text));
    return path;
}

TEST(label_maps_are_read_as_people_write_them)
{
    struct category *c = NULL;
    int n = 0;
    EXPECT_OK(label_map_read(
        map_path("# a comment\nitem {\n name: \"/m/01\" id: 1 display_name: 'person' }\n"
                 "item: { id: 3, name: 'traffic \\'light\\' \\303\\251'; keypoints { id: 7 label: "
                 "\"}\" } }\nitem{id:2 name:\"x\"}\n"),
        &c, &n));
    EXPECT_EQ(n, 3);
    EXPECT_STR(c[0].name, "person");
    EXPECT_STR(c[1].name, "traffic 'light' \xc3\xa9");
    EXPECT(c[1].label == 3 && c[1].id == 3 && c[2].label == 2);
    label_map_free(c, n);
    EXPECT_OK(label_map_write(map_path(NULL), categories, 3));
    EXPECT_OK(label_map_read(map_path(NULL), &c, &n));
    EXPECT(n == 3 && c[0].label == 18);
    EXPECT_STR(c[0].name, categories[0].name);
    label_map_free(c, n);
    EXPECT_OK(label_map_read(test_source_path("tests/golden/records/theirs.pbtxt"), &c, &n));
    EXPECT_EQ(n, 3);
    EXPECT_STR(c[2].name, "dog");
    label_map_free(c, n);
}

TEST(bad_label_maps_are_refused_with_their_line)
{
    static const char *const bad[][2] = {
        {"", "no item"},
        {"\nthing {}", "a.pbtxt:2: want \"item\""},
        {"item {\n id: 1 }", "a.pbtxt:1: an item wants id and name"},
        {"item { id: 0 name: 'a' }", "want an integer from 1"},
        {"item { id: 1x name: 'a' }", "want an integer from 1"},
        {"item { id: 1 name: 'a' } item { id: 1 name: 'b' }", "id 1 stands twice"},
        {"item { id: 1 name: 'a", "not closed"},
        {"item { id: 1 name: 'a\\", "not closed"},
        {"item { id: 1 name: a }", "want a string in quotes"},
        {"item { id 1 }", "want \":\" after id"},
        {"item { id: 1", "want a word"},
        {"item { other { a: 1 }", "want a word"},
        {"item { other: } }", "brackets do not match"},
        {"item", "want \"{\""},
        {"item { name: '\\000' }", "zero byte"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct category *c;
        int n;
        EXPECT_STATUS(label_map_read(map_path(bad[i][0]), &c, &n), E_FORMAT);
        EXPECT_HAS(error_text(), bad[i][1]);
    }
}

TEST_MAIN()
