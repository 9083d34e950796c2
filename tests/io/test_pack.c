// Packing: what comes back is what went in, in the promised order, or nothing at all.
#include "io/pack.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/coco.h"
#include "io/dataset.h"
#include "io/mini_set.h"

static struct pack_params mini_params(const char *out, int shards)
{
    return (struct pack_params){.annotations = test_path("a.json"),
                                .images = test_path("images"),
                                .out = out,
                                .shards = shards,
                                .jobs = 1};
}

static void make_mini(int n, bool thin)
{
    mini_images(n);
    mini_json(test_path("a.json"), n, thin);
}

static int64_t id_at(const struct dataset *d, int s, uint64_t k)
{
    struct record_image image;
    int64_t id = -1;
    EXPECT_OK(dataset_read(d, s, k, &image));
    id = image.id;
    record_image_fini(&image);
    return id;
}

TEST(images_that_pass_are_dealt_first_then_the_others)
{
    struct pack_report report;
    struct dataset *d = NULL;
    make_mini(9, false); // 1, 4, 7 have no box
    struct pack_params p = mini_params(test_path("deal/set"), 4);
    EXPECT_OK(pack_coco(&p, &report));
    EXPECT_EQ(report.images, 9);
    EXPECT_OK(dataset_open(test_path("deal/set"), &d));
    if (d == NULL) return;
    // The round goes 2 3 5 6 8 9, then on with 1 4 7.
    static const uint64_t n_records[] = {3, 2, 2, 2}, n_usable[] = {2, 2, 1, 1};
    static const int64_t order[4][3] = {{2, 8, 7}, {3, 9, -1}, {5, 1, -1}, {6, 4, -1}};
    for (int s = 0; s < 4; s++) {
        EXPECT_EQ(dataset_shard(d, s)->n_records, n_records[s]);
        EXPECT_EQ(dataset_shard(d, s)->n_usable, n_usable[s]);
        for (uint64_t k = 0; k < dataset_shard(d, s)->n_records; k++)
            EXPECT_EQ(id_at(d, s, k), order[s][k]);
    }
    EXPECT(dataset_n_images(d) == 9 && dataset_n_usable(d) == 6 && dataset_n_shards(d) == 4);
    EXPECT_EQ(dataset_n_labels(d), 5); // ids 1, 3, 4
    EXPECT_EQ(dataset_n_categories(d), 3);
    EXPECT_STR(dataset_category(d, 1)->name, "c");
    dataset_close(d);
}

TEST(a_box_without_two_sides_over_one_pixel_does_not_count)
{
    struct pack_report report;
    struct dataset *d = NULL;
    make_mini(9, true);
    struct pack_params p = mini_params(test_path("thin/set"), 1);
    EXPECT_OK(pack_coco(&p, &report));
    EXPECT_OK(dataset_open(test_path("thin/set"), &d));
    if (d == NULL) return;
    EXPECT_EQ(dataset_n_usable(d), 6);
    EXPECT_EQ(id_at(d, 0, 7), 4); // kept, among the others
    dataset_close(d);
}

TEST(what_is_packed_reads_back_to_the_bit)
{
    struct pack_report report;
    struct dataset *d = NULL;
    make_mini(3, false);
    struct pack_params p = mini_params(test_path("bits/set"), 1);
    EXPECT_OK(pack_coco(&p, &report));
    EXPECT_OK(dataset_open(test_path("bits/set"), &d));
    if (d == NULL) return;
    struct record_image r;
    char *jpeg = NULL;
    size_t n = 0;
    EXPECT_OK(dataset_read(d, 0, 1, &r)); // image 3
    EXPECT(r.id == 3 && r.id_is_number && r.id_key == 3 && r.h == 23 && r.w == 33);
    EXPECT_STR(r.id_text, "3");
    EXPECT_STR(r.file_name, "3.jpg");
    EXPECT_OK(file_read(test_path("images/3.jpg"), &jpeg, &n));
    EXPECT(r.jpeg_bytes == n && memcmp(r.jpeg, jpeg, n) == 0);
    EXPECT_EQ(r.n_annotations, 2);
    const struct annotation *a = r.annotations;
    EXPECT(a[0].id == 300 && a[0].category_id == 4 && a[0].label == 4 && !a[0].is_crowd);
    EXPECT(a[0].x == 3.1 && a[0].y == 2.7 && a[0].w == 8.9 && a[0].h == 9.3 && a[0].area == 3.25);
    EXPECT(a[1].id == 301 && a[1].is_crowd && a[1].category_id == 1);
    record_image_fini(&r);
    mem_free(jpeg);
    dataset_close(d);
}

TEST(the_bytes_do_not_depend_on_the_number_of_jobs)
{
    struct pack_report report;
    make_mini(40, false);
    for (int jobs = 1; jobs <= 5; jobs += 2) {
        struct pack_params p = mini_params(test_path("jobs%d/set", jobs), 3);
        p.jobs = jobs;
        EXPECT_OK(pack_coco(&p, &report));
    }
    for (int jobs = 3; jobs <= 5; jobs += 2) {
        EXPECT(test_same_file(test_path("jobs1/set.json"), test_path("jobs%d/set.json", jobs)));
        EXPECT(test_same_file(test_path("jobs1/set.pbtxt"), test_path("jobs%d/set.pbtxt", jobs)));
        for (int s = 0; s < 3; s++) {
            EXPECT(test_same_file(test_path("jobs1/set.record-%05d-of-00003", s),
                                  test_path("jobs%d/set.record-%05d-of-00003", jobs, s)));
            EXPECT(test_same_file(test_path("jobs1/set.record-%05d-of-00003.idx", s),
                                  test_path("jobs%d/set.record-%05d-of-00003.idx", jobs, s)));
        }
    }
}

// ---- Labels
// --------------------------------------------------------------------------------------

static void write_categories(const char *categories)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"categories\": [%s], \"images\": [{\"id\": 1, \"file_name\": \"1.jpg\"}], "
             "\"annotations\": [{\"image_id\": 1, \"category_id\": 7, \"bbox\": [1, 1, 5, 5]}]}",
             categories);
    EXPECT_OK(file_write(test_path("a.json"), text, strlen(text)));
}

static int label_of_7(struct pack_params *p, const char *categories, int *n_labels)
{
    struct pack_report report;
    struct dataset *d = NULL;
    struct record_image r;
    write_categories(categories);
    EXPECT_OK(pack_coco(p, &report));
    EXPECT_OK(dataset_open(p->out, &d));
    if (d == NULL) return -1;
    EXPECT_OK(dataset_read(d, 0, 0, &r));
    int label = r.annotations[0].label;
    EXPECT_EQ(r.annotations[0].category_id, 7);
    *n_labels = dataset_n_labels(d);
    record_image_fini(&r);
    dataset_close(d);
    return label;
}

#define FOUR                                                                                       \
    "{\"id\": 7, \"name\": \"g\"}, {\"id\": 2, \"name\": \"b\"}, {\"id\": 1, \"name\": \"a\"}"
#define EIGHT FOUR ", {\"id\": 8, \"name\": \"h\"}"

TEST(labels_are_the_ids_where_these_are_dense_enough)
{
    int n = 0;
    mini_images(1);
    struct pack_params p = mini_params(test_path("labels/set"), 1);
    EXPECT_EQ(label_of_7(&p, EIGHT, &n), 7); // largest 8 = twice 4
    EXPECT_EQ(n, 9);
    EXPECT_EQ(label_of_7(&p, FOUR, &n), 3); // largest 7 > twice 3: 1, 2, 3 by ascending ids
    EXPECT_EQ(n, 4);
    EXPECT_EQ(label_of_7(&p, EIGHT ", {\"id\": 0, \"name\": \"none\"}", &n), 4); // an id below 1
    EXPECT_EQ(n, 6);
    p.labels = PACK_LABELS_IDS;
    EXPECT_EQ(label_of_7(&p, FOUR, &n), 7);
    EXPECT_EQ(n, 8);
    p.labels = PACK_LABELS_DENSE;
    EXPECT_EQ(label_of_7(&p, EIGHT, &n), 3);
    EXPECT_EQ(n, 5);
}

TEST(labels_that_cannot_be_are_refused)
{
    struct pack_report report;
    mini_images(1);
    struct pack_params p = mini_params(test_path("nolabels/set"), 1);
    p.labels = PACK_LABELS_IDS;
    write_categories(EIGHT ", {\"id\": 0, \"name\": \"none\"}");
    EXPECT_STATUS(pack_coco(&p, &report), E_ARG);
    EXPECT_HAS(error_text(), "category id 0 cannot be a label");
    EXPECT(!file_exists(test_path("nolabels")));
}

TEST(labels_of_another_data_set_are_taken_whole)
{
    struct pack_report report;
    int n = 0;
    mini_images(1);
    struct pack_params p = mini_params(test_path("from/a"), 1), q = p;
    p.labels = PACK_LABELS_DENSE;
    EXPECT_EQ(label_of_7(&p, EIGHT, &n), 3);
    q.out = test_path("from/b");
    q.labels = PACK_LABELS_FROM;
    q.labels_from = p.out;
    EXPECT_EQ(label_of_7(&q, "{\"id\": 7, \"name\": \"g\"}", &n), 3);
    EXPECT_EQ(n, 5);
    q.labels_from = test_path("from/a.json");
    EXPECT_EQ(label_of_7(&q, "{\"id\": 7, \"name\": \"g\"}", &n), 3);
    write_categories("{\"id\": 7, \"name\": \"x\"}");
    EXPECT_STATUS(pack_coco(&q, &report), E_ARG);
    EXPECT_HAS(error_text(), "category 7 (x) is named g in");
    write_categories("{\"id\": 7, \"name\": \"g\"}, {\"id\": 9, \"name\": \"i\"}");
    EXPECT_STATUS(pack_coco(&q, &report), E_ARG);
    EXPECT_HAS(error_text(), "category 9 (i) is not in");
}

// ---- Splits
// --------------------------------------------------------------------------------------

static void read_ids(const char *path, bool *seen, int *n)
{
    struct dataset *d = NULL;
    EXPECT_OK(dataset_open(path, &d));
    if (d == NULL) return;
    for (int s = 0; s < dataset_n_shards(d); s++)
        for (uint64_t k = 0; k < dataset_shard(d, s)->n_records; k++, (*n)++)
            seen[id_at(d, s, k)] = true;
    dataset_close(d);
}

TEST(splits_share_the_images_out_by_seed)
{
    static const struct pack_split splits[] = {{"train", 0.7}, {"val", 0.3}};
    struct pack_report report;
    bool train[3][21] = {{false}}, val[3][21] = {{false}};
    make_mini(20, false);
    for (int i = 0; i < 3; i++) {
        int n_train = 0, n_val = 0;
        struct pack_params p = mini_params(test_path("split%d/set", i), 2);
        p.n_splits = 2, p.splits = splits, p.seed = i < 2 ? 5 : 6;
        EXPECT_OK(pack_coco(&p, &report));
        read_ids(test_path("split%d/set-train", i), train[i], &n_train);
        read_ids(test_path("split%d/set-val", i), val[i], &n_val);
        EXPECT(n_train == 14 && n_val == 6);
        for (int id = 1; id <= 20; id++) EXPECT(train[i][id] != val[i][id]);
    }
    EXPECT(memcmp(train[0], train[1], sizeof train[0]) == 0);
    EXPECT(memcmp(train[0], train[2], sizeof train[0]) != 0);
}

TEST(splits_that_do_not_add_up_are_refused)
{
    static const struct {
        struct pack_split splits[2];
        const char *message;
    } cases[] = {
        {{{"a", 0.5}, {"b", 0.4}}, "add up to 0.9"},
        {{{"a", 1.5}, {"b", 0.4}}, "want a fraction"},
        {{{"a", 0.5}, {"a", 0.5}}, "stands twice"},
        {{{"a/b", 0.5}, {"c", 0.5}}, "is no name"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pack_report report;
        struct pack_params p = mini_params(test_path("badsplit/set"), 1);
        p.n_splits = 2, p.splits = cases[i].splits;
        EXPECT_STATUS(pack_coco(&p, &report), E_ARG);
        EXPECT_HAS(error_text(), cases[i].message);
    }
}

// ---- What cannot be packed
// -----------------------------------------------------------------------

static bool is_empty_folder(const char *path)
{
    DIR *folder = opendir(path);
    int n = 0;
    if (folder == NULL) return true;
    for (struct dirent *e; (e = readdir(folder)) != NULL;)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    (void)closedir(folder);
    return n == 0;
}

// Three images, of which the second is bad; members are its JSON.
static void refuse(const char *members, const char *annotation, const char *message)
{
    char text[1024];
    struct pack_report report;
    struct dataset *d = NULL;
    snprintf(
        text, sizeof text,
        "{\"categories\": [{\"id\": 1, \"name\": \"a\"}], \"images\": [{\"id\": 1, \"file_name\": "
        "\"1.jpg\", \"height\": 21, \"width\": 31}, {\"id\": \"two\", %s}, {\"id\": 3, "
        "\"file_name\": \"3.jpg\"}], \"annotations\": [{\"id\": 5, \"image_id\": 1, "
        "\"category_id\": 1, \"bbox\": [1, 1, 9, 9]}, {\"id\": 6, \"image_id\": 3, "
        "\"category_id\": 1, \"bbox\": [1, 1, 9, 9]}%s]}",
        members, annotation);
    EXPECT_OK(file_write(test_path("a.json"), text, strlen(text)));
    struct pack_params p = mini_params(test_path("refused/set"), 2);
    status st = pack_coco(&p, &report);
    EXPECT(st == E_FORMAT || st == E_IO);
    EXPECT_HAS(error_text(), "a.json: ");
    EXPECT_HAS(error_text(), message);
    EXPECT_HAS(error_text(), "--skip-bad leaves such ");
    EXPECT(is_empty_folder(test_path("refused")));
    p.skip_bad = true;
    p.out = test_path("skipped/set");
    EXPECT_OK(pack_coco(&p, &report));
    EXPECT_EQ(report.skipped_images + report.skipped_annotations, 1);
    EXPECT_OK(dataset_open(p.out, &d));
    if (d == NULL) return;
    EXPECT_EQ(dataset_n_images(d), 3 - report.skipped_images);
    EXPECT_EQ(dataset_n_usable(d), 2);
    dataset_close(d);
    EXPECT_OK(file_remove_tree(test_path("skipped")));
}

TEST(what_cannot_be_packed_is_named_or_skipped)
{
    mini_images(3);
    char *jpeg = NULL;
    size_t n = 0;
    EXPECT_OK(file_read(test_path("images/2.jpg"), &jpeg, &n));
    EXPECT_OK(file_write(test_path("images/cut.jpg"), jpeg, n - 40));
    EXPECT_OK(file_write(test_path("images/text.jpg"), "hello", 5));
    mem_free(jpeg);
    refuse("\"file_name\": \"none.jpg\"", "", "image id \"two\": cannot open");
    refuse("\"file_name\": \"cut.jpg\"", "", "cut.jpg: JPEG: ");
    refuse("\"file_name\": \"text.jpg\"", "", "text.jpg: JPEG: ");
    refuse("\"height\": 22", "", "image id \"two\": no file_name");
    refuse("\"file_name\": \"2.jpg\", \"height\": 32, \"width\": 22", "",
           "2.jpg: is 32 x 22 (width x height), but the JSON says 22 x 32: turned by EXIF?");
    refuse("\"file_name\": \"2.jpg\", \"height\": 21, \"width\": 32", "",
           "but the JSON says 32 x 21");
    refuse("\"file_name\": \"2.jpg\", \"height\": 0, \"width\": 32", "", "are no size");
    refuse("\"file_name\": \"2.jpg\"",
           ", {\"id\": 7, \"image_id\": 2, \"category_id\": 1, \"bbox\": [1, 1, 9, 9]}",
           "annotation 7: image id 2 is not among the images");
    refuse("\"file_name\": \"2.jpg\"",
           ", {\"id\": 7, \"image_id\": 3, \"category_id\": 2, \"bbox\": [1, 1, 9, 9]}",
           "annotation 7: category id 2 is not among the categories");
}

TEST(more_shards_than_images_with_boxes_are_refused)
{
    struct pack_report report;
    make_mini(9, false);
    struct pack_params p = mini_params(test_path("shards/set"), 7);
    EXPECT_STATUS(pack_coco(&p, &report), E_ARG);
    EXPECT_HAS(error_text(), "use --shards 6 or less");
    EXPECT(!file_exists(test_path("shards")));
}

// ---- All or nothing
// ------------------------------------------------------------------------------

TEST(a_failure_leaves_the_older_data_set_and_a_success_replaces_it)
{
    struct pack_report report;
    struct dataset *d = NULL;
    make_mini(9, false);
    struct pack_params p = mini_params(test_path("again/set"), 4);
    EXPECT_OK(pack_coco(&p, &report));
    EXPECT_EQ(unlink(test_path("images/9.jpg")), 0);
    EXPECT_STATUS(pack_coco(&p, &report), E_IO);
    EXPECT_OK(dataset_open(p.out, &d));
    if (d != NULL) EXPECT_EQ(dataset_n_images(d), 9);
    dataset_close(d);
    d = NULL;
    make_mini(6, false);
    p.shards = 2;
    EXPECT_OK(pack_coco(&p, &report));
    EXPECT_OK(dataset_open(p.out, &d));
    if (d != NULL) EXPECT(dataset_n_images(d) == 6 && dataset_n_shards(d) == 2);
    dataset_close(d);
    EXPECT(!file_exists(test_path("again/set.record-00003-of-00004")));
    EXPECT(!file_exists(test_path("again/set.record-00003-of-00004.idx")));
    EXPECT(file_exists(test_path("again/set.record-00001-of-00002")));
}

TEST(what_a_killed_run_left_is_removed)
{
    struct pack_report report;
    make_mini(3, false);
    EXPECT_OK(file_make_folders(test_path("stale/.set.packing-999999999"))); // no such process
    EXPECT_OK(file_make_folders(test_path("stale/.set.packing-1")));         // alive
    struct pack_params p = mini_params(test_path("stale/set"), 1);
    EXPECT_OK(pack_coco(&p, &report));
    EXPECT(!file_exists(test_path("stale/.set.packing-999999999")));
    EXPECT(file_exists(test_path("stale/.set.packing-1")));
}

TEST(failing_allocations_leave_nothing_behind)
{
    struct pack_report report;
    make_mini(4, false);
    for (int64_t n = 1; n < 2000; n++) {
        struct pack_params p = mini_params(test_path("faults/set"), 2);
        p.skip_bad = n % 2 == 0;
        mem_fail_at(n);
        status st = pack_coco(&p, &report);
        mem_fail_at(0);
        if (st == OK) {
            EXPECT_OK(file_remove_tree(test_path("faults")));
            if (!p.skip_bad) continue; // the longer way may still fail
            EXPECT(n > 100);
            return;
        }
        if (st != E_NOMEM || !is_empty_folder(test_path("faults")))
            test_fail(__FILE__, __LINE__, "allocation %d: %s", (int)n, error_text());
        EXPECT_OK(file_remove_tree(test_path("faults")));
    }
    EXPECT(false);
}

// ---- Data sets that do not hold together
// ---------------------------------------------------------

TEST(mixed_and_missing_files_are_refused)
{
    struct pack_report report;
    struct dataset *d;
    make_mini(9, false);
    struct pack_params p = mini_params(test_path("one/set"), 2);
    EXPECT_OK(pack_coco(&p, &report));
    p.out = test_path("two/set");
    p.labels = PACK_LABELS_DENSE;
    make_mini(12, false);
    EXPECT_OK(pack_coco(&p, &report));
    test_copy_file(test_path("one/set.record-00001-of-00002"),
                   test_path("two/set.record-00001-of-00002"));
    EXPECT_STATUS(dataset_open(test_path("two/set"), &d), E_FORMAT);
    EXPECT_HAS(error_text(), "shards of two data sets are mixed");
    test_copy_file(test_path("one/set.record-00001-of-00002.idx"),
                   test_path("two/set.record-00001-of-00002.idx"));
    EXPECT_STATUS(dataset_open(test_path("two/set"), &d), E_FORMAT);
    test_copy_file(test_path("two/set.record-00000-of-00002.idx"),
                   test_path("one/set.record-00000-of-00002.idx"));
    EXPECT_STATUS(dataset_open(test_path("one/set"), &d), E_FORMAT);
    EXPECT_HAS(error_text(), "set.record-00000-of-00002.idx");
    EXPECT_EQ(unlink(test_path("one/set.record-00001-of-00002")), 0);
    EXPECT_STATUS(dataset_open(test_path("one/set"), &d), E_FORMAT);
    EXPECT_EQ(unlink(test_path("one/set.json")), 0);
    EXPECT_STATUS(dataset_open(test_path("one/set"), &d), E_IO);
    EXPECT_HAS(error_text(), "make it with shoal pack");
}

TEST(odd_jpegs_are_packed_or_skipped_and_never_crash)
{
    struct pack_report report;
    struct dataset *d = NULL;
    char images[512];
    if (test_shared_data("jpeg_odd") == NULL) {
        printf("  not here: jpeg_odd\n");
        return;
    }
    snprintf(images, sizeof images, "%s", test_shared_data("jpeg_odd"));
    FILE *f = fopen(test_path("odd.json"), "w");
    DIR *folder = opendir(images);
    EXPECT(f != NULL && folder != NULL);
    if (f == NULL || folder == NULL) return;
    unsigned n = 0;
    fputs("{\"categories\": [], \"annotations\": [], \"images\": [", f);
    for (struct dirent *e; (e = readdir(folder)) != NULL;)
        if (strstr(e->d_name, ".jp") != NULL)
            fprintf(f, "%s{\"id\": \"%s\", \"file_name\": \"%s\"}", n++ > 0 ? ", " : "", e->d_name,
                    e->d_name);
    fputs("]}", f);
    EXPECT_EQ(fclose(f), 0);
    (void)closedir(folder);
    EXPECT_OK(pack_coco(&(struct pack_params){.annotations = test_path("odd.json"),
                                              .images = images,
                                              .out = test_path("odd/set"),
                                              .shards = 3,
                                              .skip_bad = true},
                        &report));
    EXPECT(report.skipped_images > 0 && report.images > 0);
    EXPECT_EQ(report.skipped_images + report.images, n);
    EXPECT_OK(dataset_open(test_path("odd/set"), &d));
    if (d != NULL) EXPECT_EQ(dataset_n_images(d), report.images);
    dataset_close(d);
}

TEST(real_coco_pictures_come_back_as_the_json_has_them)
{
    struct pack_report report;
    struct dataset *d = NULL;
    struct coco *c = NULL;
    char json[512], images[512];
    if (test_shared_data("coco139/val2017") == NULL) {
        printf("  not here: coco139\n");
        return;
    }
    snprintf(json, sizeof json, "%s",
             test_shared_data("coco139/annotations/instances_val2017.json"));
    snprintf(images, sizeof images, "%s", test_shared_data("coco139/val2017"));
    struct pack_params p = {
        .annotations = json, .images = images, .out = test_path("real/val"), .shards = 5};
    EXPECT_OK(pack_coco(&p, &report));
    EXPECT_OK(dataset_open(p.out, &d));
    EXPECT_OK(coco_read(json, NULL, &c));
    if (d == NULL || c == NULL) return;
    size_t n = 0;
    for (int s = 0; s < 5; s++) {
        for (uint64_t k = 0; k < dataset_shard(d, s)->n_records; k++, n++) {
            struct record_image r;
            EXPECT_OK(dataset_read(d, s, k, &r));
            struct coco_id id = {true, r.id, NULL};
            int64_t i = coco_find_image(c, &id);
            EXPECT(i >= 0 && (int)c->images[i].n == r.n_annotations && c->images[i].h == r.h);
            for (int b = 0; i >= 0 && b < r.n_annotations; b++) {
                const struct annotation *x = &r.annotations[b];
                const struct annotation *y = &c->annotations[c->images[i].first + (size_t)b];
                EXPECT(x->id == y->id && x->x == y->x && x->y == y->y && x->w == y->w &&
                       x->h == y->h && x->area == y->area && x->is_crowd == y->is_crowd &&
                       x->category_id == y->category_id && x->label == y->category_id);
            }
            record_image_fini(&r);
        }
    }
    EXPECT_EQ(n, c->n_images);
    EXPECT_EQ(dataset_n_labels(d), 91);
    coco_destroy(c);
    dataset_close(d);
}

TEST_MAIN()
