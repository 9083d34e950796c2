// COCO files as people make them.
#include "io/coco.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "support/test.h"

static const char *write_text(const char *name, const char *text)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", test_folder(), name);
    EXPECT_OK(file_write(path, text, strlen(text)));
    return path;
}

static status read_text(const char *text, const struct coco_params *p, struct coco **c)
{
    *c = NULL;
    return coco_read(write_text("c.json", text), p, c);
}

struct problems {
    int n;
    char last[512];
};

static status note(void *context, const char *what)
{
    struct problems *p = context;
    p->n++;
    snprintf(p->last, sizeof p->last, "%s", what);
    return OK;
}

#define CATEGORIES                                                                                 \
    "\"categories\": [{\"id\": 9, \"name\": \"cat\"}, {\"id\": 0, \"name\": \"none\"}]"

TEST(what_is_missing_is_filled_and_the_rest_is_kept_to_the_bit)
{
    struct coco *c;
    EXPECT_OK(
        read_text("{\"annotations\": ["
                  "{\"image_id\": 5, \"category_id\": 9, \"bbox\": [0.1, 2, 3.3, 0.7]},"
                  "{\"image_id\": 2, \"category_id\": 0, \"bbox\": [-5, 2, 0, -1], \"id\": 40, "
                  "\"area\": 0.3, \"iscrowd\": 1, \"segmentation\": {\"counts\": [3, 4]}},"
                  "{\"image_id\": 5.0, \"category_id\": 9.0, \"bbox\": [1, 2, 3, 4], "
                  "\"iscrowd\": false, \"id\": 0, \"area\": null}"
                  "], " CATEGORIES ", \"images\": [{\"id\": 5, \"file_name\": \"a.jpg\"}, "
                  "{\"id\": 2, \"height\": 4, \"width\": 3.0}, "
                  "{\"id\": 3, \"height\": \"4\", \"width\": 3}]}",
                  NULL, &c));
    EXPECT_EQ(c->n_images, 3);
    EXPECT_EQ(c->n_annotations, 3);
    EXPECT_EQ(c->images[0].n, 2);
    EXPECT_EQ(c->images[1].n, 1);
    EXPECT_EQ(c->images[2].n, 0);
    EXPECT_STR(c->images[0].file_name, "a.jpg");
    EXPECT_EQ(c->images[0].h, 0);
    EXPECT(c->images[1].h == 4 && c->images[1].w == 3 && c->images[1].file_name == NULL);
    EXPECT_EQ(c->images[2].h, -1);
    const struct annotation *a = &c->annotations[c->images[0].first];
    EXPECT(a[0].id == 41 && a[0].x == 0.1 && a[0].w == 3.3 && a[0].area == 3.3 * 0.7);
    EXPECT(a[1].id == 0 && !a[1].is_crowd && a[1].area == 12);
    const struct annotation *b = &c->annotations[c->images[1].first];
    EXPECT(b->id == 40 && b->is_crowd && b->area == 0.3 && b->h == -1 && b->category_id == 0);
    EXPECT(c->n_ids_filled == 1 && c->n_areas_filled == 2 && c->n_zero_ids == 1);
    EXPECT(c->categories[0].id == 0 && c->categories[1].id == 9);
    EXPECT_STR(c->categories[1].name, "cat");
    EXPECT_EQ(coco_find_category(c, 9), 1);
    EXPECT_EQ(coco_find_category(c, 1), -1);
    coco_destroy(c);
}

TEST(ids_are_filled_from_one_where_none_is_given)
{
    struct coco *c;
    EXPECT_OK(read_text("{\"images\": [{\"id\": 1}], " CATEGORIES ", \"annotations\": ["
                        "{\"image_id\": 1, \"category_id\": 9, \"bbox\": [1, 2, 3, 4]},"
                        "{\"image_id\": 1, \"category_id\": 9, \"bbox\": [1, 2, 3, 4]}]}",
                        NULL, &c));
    EXPECT_EQ(c->annotations[0].id, 1);
    EXPECT_EQ(c->annotations[1].id, 2);
    coco_destroy(c);
}

TEST(annotations_of_unlisted_images_and_categories_are_counted_out_where_asked)
{
    struct coco *c;
    struct coco_params p = {.skip_strangers = true};
    EXPECT_OK(read_text("{\"images\": [{\"id\": 2}, {\"id\": 1}], " CATEGORIES
                        ", \"annotations\": ["
                        "{\"image_id\": 3, \"category_id\": 9, \"bbox\": [1, 2, 3, 4]},"
                        "{\"image_id\": 1, \"category_id\": 9, \"bbox\": [1, 2, 3, 4]},"
                        "{\"image_id\": 1, \"category_id\": 8, \"bbox\": [1, 2, 3, 4]},"
                        "{\"image_id\": 2, \"category_id\": 9, \"bbox\": [1, 2, 3, 4]}]}",
                        &p, &c));
    EXPECT_EQ(c->n_strangers, 2);
    EXPECT_EQ(c->n_annotations, 2);
    EXPECT(c->rows[0] == 3 && c->rows[1] == 1); // image 2 comes first
    coco_destroy(c);
    EXPECT_STATUS(read_text("{\"images\": [{\"id\": 2}], " CATEGORIES ", \"annotations\": ["
                            "{\"image_id\": 2, \"category_id\": 9}]}",
                            &p, &c),
                  E_FORMAT); // no box is a problem all the same
}

TEST(text_ids_and_numbers_are_two_things)
{
    struct coco *c;
    struct problems told = {0};
    struct coco_params p = {.problem = note, .context = &told};
    static const char text[] =
        "{\"images\": [{\"id\": \"7\"}, {\"id\": 3}, {\"id\": \"x y\"}], " CATEGORIES
        ", \"annotations\": ["
        "{\"image_id\": \"7\", \"category_id\": 9, \"bbox\": [1, 2, 3, 4]},"
        "{\"image_id\": 7, \"category_id\": 9, \"bbox\": [1, 2, 3, 4], \"id\": 12},"
        "{\"image_id\": \"x y\", \"category_id\": 9, \"bbox\": [5, 2, 3, 4]}]}";
    EXPECT_STATUS(read_text(text, NULL, &c), E_FORMAT);
    EXPECT_HAS(error_text(),
               "c.json: annotation 12: image id 7 is not among the images (the text 7 is)");
    EXPECT_OK(read_text(text, &p, &c));
    EXPECT_EQ(told.n, 1);
    EXPECT_EQ(c->n_annotations, 2);
    EXPECT(c->images[2].n == 1 && c->annotations[c->images[2].first].x == 5);
    struct coco_id number = {true, 3, NULL}, words = {false, 0, "x y"}, none = {false, 0, "3"};
    EXPECT_EQ(coco_find_image(c, &number), 1);
    EXPECT_EQ(coco_find_image(c, &words), 2);
    EXPECT_EQ(coco_find_image(c, &none), -1);
    coco_destroy(c);
}

TEST(annotations_that_cannot_be_taken_are_named)
{
    static const char *const cases[][2] = {
        {"\"image_id\": 1, \"category_id\": 8, \"bbox\": [1, 2, 3, 4]",
         "annotation 6: category id 8 is not among the categories"},
        {"\"image_id\": 8, \"category_id\": 9, \"bbox\": [1, 2, 3, 4]",
         "annotation 6: image id 8 is not among the images"},
        {"\"image_id\": 1, \"category_id\": 9, \"bbox\": [1, 2, 3]", "no bbox of four"},
        {"\"image_id\": 1, \"category_id\": 9, \"bbox\": [1, 2, 3, 4, 5]", "no bbox of four"},
        {"\"image_id\": 1, \"category_id\": 9, \"bbox\": [1, 2, 3, \"4\"]", "no bbox of four"},
        {"\"image_id\": 1, \"category_id\": 9, \"bbox\": [1, 2, 3, 1e999]",
         "no bbox of four finite"},
        {"\"image_id\": 1, \"category_id\": 9", "no bbox of four"},
        {"\"image_id\": 1, \"category_id\": \"9\", \"bbox\": [1, 2, 3, 4]",
         "no integer category_id"},
        {"\"image_id\": 1, \"category_id\": 9, \"bbox\": [1, 2, 3, 4], \"iscrowd\": 2",
         "iscrowd is neither"},
        {"\"image_id\": 1, \"category_id\": 9, \"bbox\": [1, 2, 3, 4], \"area\": \"1\"",
         "its area is no number"},
        {"\"image_id\": 1, \"category_id\": 9, \"bbox\": [1, 2, 1e308, 1e308]",
         "its area is not finite"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[512];
        struct coco *c;
        struct problems told = {0};
        struct coco_params p = {.problem = note, .context = &told};
        snprintf(text, sizeof text,
                 "{\"images\": [{\"id\": 1}], " CATEGORIES ", \"annotations\": [{\"id\": 6, %s}]}",
                 cases[i][0]);
        EXPECT_STATUS(read_text(text, NULL, &c), E_FORMAT);
        EXPECT_HAS(error_text(), "c.json: annotation 6: ");
        EXPECT_HAS(error_text(), cases[i][1]);
        EXPECT_OK(read_text(text, &p, &c));
        EXPECT_EQ(told.n, 1);
        EXPECT_EQ(c->n_annotations, 0);
        coco_destroy(c);
    }
}

// What no one can draw is kept as it is: clipping and leaving out come at load.
TEST(boxes_of_any_finite_numbers_are_kept_and_nan_is_no_json)
{
    struct coco *c;
    EXPECT_OK(read_text("{\"images\": [{\"id\": 1}], " CATEGORIES ", \"annotations\": ["
                        "{\"id\": 1, \"image_id\": 1, \"category_id\": 9, \"area\": 1, \"bbox\": "
                        "[1e308, -1e308, 1e308, 1e308]}, {\"id\": 2, \"image_id\": 1, "
                        "\"category_id\": 9, \"area\": -4, \"bbox\": [5, 5, -2, -3]}]}",
                        NULL, &c));
    EXPECT_EQ(c->n_annotations, 2);
    EXPECT(c->annotations[0].x == 1e308 && c->annotations[0].y == -1e308);
    EXPECT(c->annotations[1].w == -2 && c->annotations[1].area == -4);
    coco_destroy(c);
    EXPECT_STATUS(read_text("{\"images\": [{\"id\": 1}], " CATEGORIES ", \"annotations\": ["
                            "{\"id\": 1, \"image_id\": 1, \"category_id\": 9, \"bbox\": "
                            "[NaN, 1, 2, 3]}]}",
                            NULL, &c),
                  E_FORMAT);
    EXPECT_HAS(error_text(), "c.json");
}

TEST(files_without_order_are_refused)
{
    static const char *const cases[][2] = {
        {"{\"images\": [{\"id\": 1}, {\"id\": 1}], \"annotations\": [], " CATEGORIES "}",
         "image id 1 stands twice"},
        {"{\"images\": [{\"file_name\": \"a\"}], \"annotations\": [], " CATEGORIES "}",
         "images[0] has no \"id\""},
        {"{\"images\": [{\"id\": [1]}], \"annotations\": [], " CATEGORIES "}",
         "want an integer or text"},
        {"{\"images\": [{\"id\": 1.5}], \"annotations\": [], " CATEGORIES "}",
         "want an integer or text"},
        {"{\"images\": [], \"annotations\": [], \"categories\": [{\"id\": 1}, {\"id\": 1}]}",
         "category id 1 stands twice"},
        {"{\"images\": [], \"annotations\": [], \"categories\": [{\"id\": \"1\"}]}",
         "categories[0] has no integer \"id\""},
        {"{\"images\": [], \"annotations\": []}", "no \"categories\""},
        {"{\"images\": [], \"annotations\": [{\"category_id\": 1, \"bbox\": [1, 2, 3, 4]}], "
         "\"categories\": []}",
         "annotations[0] has no \"image_id\""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct coco *c;
        EXPECT_STATUS(read_text(cases[i][0], NULL, &c), E_FORMAT);
        EXPECT_HAS(error_text(), cases[i][1]);
    }
}

TEST(results_are_read_in_order_and_checked_against_the_images)
{
    struct coco *c;
    struct coco_detection *d;
    size_t n;
    EXPECT_OK(read_text(
        "{\"images\": [{\"id\": 1}, {\"id\": \"b\"}], \"annotations\": [], " CATEGORIES "}", NULL,
        &c));
    EXPECT_OK(coco_results_read(
        write_text("r.json",
                   "[{\"image_id\": \"b\", \"category_id\": 77, \"bbox\": [1, 2, 0.3, 4], "
                   "\"score\": 0.1}, {\"image_id\": 1, \"category_id\": 9, \"bbox\": [1, 2, 3, "
                   "4], \"score\": 1}]"),
        c, &d, &n));
    EXPECT_EQ(n, 2);
    EXPECT(d[0].image == 1 && d[0].category_id == 77 && d[0].w == 0.3 && d[0].score == 0.1);
    EXPECT(d[1].image == 0 && d[1].score == 1);
    mem_free(d);
    EXPECT_OK(coco_results_read(write_text("r.json", "[]"), c, &d, &n));
    EXPECT_EQ(n, 0);
    mem_free(d);
    static const char *const cases[][2] = {
        {"[{\"image_id\": \"1\", \"category_id\": 9, \"bbox\": [1, 2, 3, 4], \"score\": 1}]",
         "r.json: result 0: image id \"1\" is not among the images of"},
        {"[{\"image_id\": 1, \"category_id\": 9, \"bbox\": [1, 2, 3, 4]}]", "no finite \"score\""},
        {"[{\"image_id\": 1, \"category_id\": 9, \"score\": 1, \"keypoints\": []}]", "no \"bbox\""},
        {"{\"images\": []}", "want an array of objects"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        EXPECT_STATUS(coco_results_read(write_text("r.json", cases[i][0]), c, &d, &n), E_FORMAT);
        EXPECT_HAS(error_text(), cases[i][1]);
    }
    coco_destroy(c);
}

TEST(failing_allocations_leave_nothing_behind)
{
    static const char text[] =
        "{\"images\": [{\"id\": \"a\", \"file_name\": \"f\"}], " CATEGORIES ", \"annotations\": ["
        "{\"image_id\": \"a\", \"category_id\": 9, \"bbox\": [1, 2, 3, 4]}]}";
    const char *path = write_text("c.json", text);
    for (int64_t n = 1;; n++) {
        struct coco *c = NULL;
        mem_fail_at(n);
        status st = coco_read(path, NULL, &c);
        mem_fail_at(0);
        if (st == OK) {
            EXPECT(n > 10);
            coco_destroy(c);
            return;
        }
        EXPECT_EQ(st, E_NOMEM);
        if (n > 100) return;
    }
}

TEST(real_odd_files_are_read_or_refused_by_name)
{
    static const struct {
        const char *file;
        size_t images, annotations, categories;
        const char *refused;
    } cases[] = {
        {"coco_json_corner/coco2017_crowd_and_empty_slice.json", 47, 1069, 80, NULL},
        {"coco_json_corner/fastai_coco_tiny_train.json", 200, 688, 6, NULL},
        {"coco_json_corner/roboflow_instances_val.json", 14, 37, 6, NULL},
        {"coco_json_corner/fce_gt_ignore_test.json", 1, 14, 1,
         "image id 2299 is not among the images (the text 2299 is)"},
        {"coco_json_corner/fce_example_crowdpose_val.json", 4, 10, 1, NULL},
        {"coco_json_corner/fce_gt_dataset.json", 3, 9, 4, NULL},
        {"coco139/annotations/instances_train2017.json", 82, 781, 80, NULL},
        {"coco139/annotations/instances_val2017.json", 57, 517, 80, NULL},
        {"coco_tiny/train.json", 200, 688, 6, NULL},
        {"coco_eval/instances_val2014_100.json", 100, 839, 80, NULL},
        {"mnist_detection/test_coco.json", 2500, 8005, 10, NULL},
        {"voc100/instances_coco_format.json", 100, 273, 20, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct coco *c = NULL;
        const char *path = test_shared_data(cases[i].file);
        if (path == NULL) {
            printf("  not here: %s\n", cases[i].file);
            continue;
        }
        status st = coco_read(path, NULL, &c);
        EXPECT_EQ(st, cases[i].refused != NULL ? E_FORMAT : OK);
        if (cases[i].refused != NULL) {
            EXPECT_HAS(error_text(), cases[i].refused);
            continue;
        }
        if (st != OK) continue;
        EXPECT_EQ(c->n_images, cases[i].images);
        EXPECT_EQ(c->n_annotations, cases[i].annotations);
        EXPECT_EQ(c->n_categories, cases[i].categories);
        coco_destroy(c);
    }
}

TEST_MAIN()
