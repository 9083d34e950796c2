// Indexing records that others wrote, and ours anew.
#include "io/index.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/dataset.h"
#include "io/mini_set.h"
#include "io/pack.h"
#include "io/record.h"
#include "io/verify.h"

static void copy_theirs(const char *to, bool with_map)
{
    EXPECT_OK(file_make_folders(test_path("%s", to)));
    for (int s = 0; s < 2; s++) {
        char from[128];
        snprintf(from, sizeof from, "tests/golden/records/theirs.record-%05d-of-00002", s);
        test_copy_file(test_source_path(from), test_path("%s/x.record-%05d-of-00002", to, s));
    }
    if (with_map)
        test_copy_file(test_source_path("tests/golden/records/theirs.pbtxt"),
                       test_path("%s/x.pbtxt", to));
}

static void note(void *context, const char *what)
{
    (void)context;
    test_fail(__FILE__, __LINE__, "problem: %s", what);
}

TEST(records_of_others_become_a_data_set)
{
    for (int with_map = 0; with_map < 2; with_map++) {
        const char *folder = with_map ? "map" : "nomap";
        struct manifest m;
        struct dataset *d = NULL;
        struct record_image r;
        struct verify_report report;
        copy_theirs(folder, with_map);
        EXPECT_OK(index_dataset(test_path("%s/x", folder), NULL, 1, &m));
        EXPECT(m.counts.images == 4 && m.counts.usable == 2 && m.counts.crowds == 1);
        manifest_fini(&m);
        EXPECT_OK(dataset_open(test_path("%s/x", folder), &d));
        if (d == NULL) return;
        EXPECT(dataset_n_categories(d) == 3 && dataset_n_labels(d) == 19);
        EXPECT_STR(dataset_category(d, 1)->name, "car");
        EXPECT(dataset_shard(d, 0)->n_usable == 1 && dataset_shard(d, 0)->n_records == 3);
        // What passes comes first: image 139 is the file's second record.
        EXPECT_OK(dataset_read(d, 0, 0, &r));
        EXPECT(r.id == 139 && r.n_annotations == 2 && r.annotations[0].category_id == 18);
        EXPECT(r.annotations[0].id == 1 && r.annotations[1].id == 2);
        record_image_fini(&r);
        EXPECT_OK(dataset_read(d, 0, 1, &r));
        EXPECT_STR(r.id_text, "empty.jpg");
        record_image_fini(&r);
        EXPECT_OK(dataset_read(d, 1, 0, &r));
        EXPECT(r.id == 785 && r.annotations[0].id == ((int64_t)3 << 24) + 1);
        EXPECT_NEAR(r.annotations[0].w, 3, 1e-5);
        record_image_fini(&r);
        dataset_close(d);
        EXPECT_OK(verify_dataset(test_path("%s/x", folder), 1, note, NULL, &report));
        EXPECT_EQ(report.records, 4);
        EXPECT(file_exists(test_path("%s/x.pbtxt", folder)));
    }
}

TEST(a_label_map_that_lacks_a_label_is_refused_and_nothing_is_written)
{
    struct manifest m;
    copy_theirs("lacks", false);
    const char *map = test_path("lacks/other.pbtxt"), *text = "item { id: 1 name: 'person' }";
    EXPECT_OK(file_write(map, text, strlen(text)));
    EXPECT_STATUS(index_dataset(test_path("lacks/x"), map, 1, &m), E_FORMAT);
    EXPECT_HAS(error_text(), "x.record-00000-of-00002: record 1 at byte ");
    EXPECT_HAS(error_text(), "(image 139): label 18 has no name among the labels");
    EXPECT(!file_exists(test_path("lacks/x.json")));
    EXPECT(!file_exists(test_path("lacks/x.record-00000-of-00002.idx")));
}

TEST(a_damaged_record_is_refused_with_its_place)
{
    struct manifest m;
    char *data = NULL;
    size_t n = 0;
    copy_theirs("damaged", false);
    const char *shard = test_path("damaged/x.record-00001-of-00002");
    EXPECT_OK(file_read(shard, &data, &n));
    data[n - 1] ^= 1;
    EXPECT_OK(file_write(shard, data, n));
    EXPECT_STATUS(index_dataset(test_path("damaged/x"), NULL, 1, &m), E_FORMAT);
    EXPECT_HAS(error_text(),
               "x.record-00001-of-00002: record 0 at byte 0 (image 785): the content's");
    EXPECT_OK(file_write(shard, data, n - 1));
    EXPECT_STATUS(index_dataset(test_path("damaged/x"), NULL, 1, &m), E_FORMAT);
    EXPECT_HAS(error_text(), "but the file ends after");
    EXPECT_OK(file_write(shard, "", 0)); // a shard without records is one
    EXPECT_OK(index_dataset(test_path("damaged/x"), NULL, 1, &m));
    EXPECT(m.counts.images == 3 && m.shards[1].n_records == 0);
    manifest_fini(&m);
    mem_free(data);
}

TEST(our_own_index_and_manifest_are_made_anew_the_same)
{
    struct pack_report report;
    struct manifest m;
    mini_images(9);
    mini_json(test_path("a.json"), 9, false);
    EXPECT_OK(pack_coco(&(struct pack_params){.annotations = test_path("a.json"),
                                              .images = test_path("images"),
                                              .out = test_path("ours/set"),
                                              .shards = 2,
                                              .labels = PACK_LABELS_DENSE},
                        &report));
    test_copy_file(test_path("ours/set.json"), test_path("before.json"));
    test_copy_file(test_path("ours/set.record-00001-of-00002.idx"), test_path("before.idx"));
    EXPECT_EQ(unlink(test_path("ours/set.record-00001-of-00002.idx")), 0);
    EXPECT_OK(index_dataset(test_path("ours/set"), NULL, 2, &m)); // labels of the manifest
    manifest_fini(&m);
    EXPECT(test_same_file(test_path("ours/set.json"), test_path("before.json")));
    EXPECT(
        test_same_file(test_path("ours/set.record-00001-of-00002.idx"), test_path("before.idx")));
    EXPECT_EQ(unlink(test_path("ours/set.json")), 0);
    EXPECT_OK(index_dataset(test_path("ours/set"), NULL, 2, &m)); // labels of set.pbtxt
    // Category 3 has no box, so its id is not to be learnt; the others' are.
    EXPECT(m.n_categories == 3 && m.categories[0].id == 1 && m.categories[2].id == 4);
    EXPECT(m.categories[2].label == 3);
    manifest_fini(&m);
}

static status find(const char *name, struct index_files *files)
{
    return index_find_files(test_path("names/%s", name), files);
}

static void touch(const char *name)
{
    EXPECT_OK(file_make_folders(test_path("names")));
    EXPECT_OK(file_write(test_path("names/%s", name), "", 0));
}

TEST(record_files_are_found_under_the_usual_names)
{
    struct index_files f;
    touch("a.record-00001-of-00002"), touch("a.record-00000-of-00002"), touch("a.json");
    touch("a.record-00000-of-00002.idx"), touch("ab.record-00000-of-00001");
    EXPECT_OK(find("a", &f));
    EXPECT_EQ(f.n, 2);
    EXPECT_STR(f.names[1], "a.record-00001-of-00002");
    index_files_fini(&f);
    touch("b.tfrecord");
    EXPECT_OK(find("b", &f));
    EXPECT_STR(f.names[0], "b.tfrecord");
    index_files_fini(&f);
    EXPECT_OK(find("b.tfrecord", &f)); // the file's whole name will do
    index_files_fini(&f);
    touch("c-00000-of-00002.tfrecord"), touch("c-00001-of-00002.tfrecord");
    EXPECT_OK(find("c", &f));
    EXPECT_EQ(f.n, 2);
    index_files_fini(&f);
    touch("d.tfrecord-0-of-2"), touch("d.tfrecord-1-of-2");
    EXPECT_OK(find("d", &f));
    index_files_fini(&f);
    touch("e-00000-of-00001");
    EXPECT_OK(find("e", &f));
    index_files_fini(&f);
}

TEST(sets_that_are_not_whole_or_not_one_are_refused)
{
    struct index_files f;
    EXPECT_STATUS(find("nothing", &f), E_IO);
    EXPECT_HAS(error_text(), "no records");
    touch("g.record-00000-of-00003"), touch("g.record-00002-of-00003");
    EXPECT_STATUS(find("g", &f), E_FORMAT);
    EXPECT_HAS(error_text(), "shard 1 of 3 is missing");
    touch("h.record-00000-of-00002");
    EXPECT_STATUS(find("h", &f), E_FORMAT);
    EXPECT_HAS(error_text(), "shard 1 of 2 is missing");
    touch("i.record-00000-of-00001"), touch("i.tfrecord");
    EXPECT_STATUS(find("i", &f), E_FORMAT);
    EXPECT_HAS(error_text(), "belong to two sets");
}

TEST(failing_allocations_leave_nothing_behind)
{
    copy_theirs("faults", false);
    for (int64_t n = 1; n < 2000; n++) {
        struct manifest m;
        mem_fail_at(n);
        status st = index_dataset(test_path("faults/x"), NULL, 1, &m);
        mem_fail_at(0);
        if (st == OK) {
            EXPECT(n > 100);
            manifest_fini(&m);
            return;
        }
        EXPECT_EQ(st, E_NOMEM);
        EXPECT(!file_exists(test_path("faults/x.json")));
    }
    EXPECT(false);
}

TEST_MAIN()
