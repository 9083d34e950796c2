// shoal score from end to end: pycocotools' numbers from files, and bad files.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "support/test.h"
#include "train/coco_eval.h"
#include "train/command.h"

// A path in the test's folder; a few are valid at once.
static const char *in_folder(const char *name)
{
    static char paths[4][512];
    static int next;
    next = (next + 1) % 4;
    (void)snprintf(paths[next], sizeof paths[next], "%s/%s", test_folder(), name);
    return paths[next];
}

static status score(const char *annotations, const char *results, const char *json,
                    const char *arrays)
{
    char *argv[] = {(char *)"score",     (char *)"--annotations",
                    (char *)annotations, (char *)"--results",
                    (char *)results,     (char *)"--json",
                    (char *)json,        (char *)"--arrays",
                    (char *)arrays,      NULL};
    return command_score(arrays != NULL ? 9 : json != NULL ? 7 : 5, argv);
}

// Every number of want is in got; within tolerance, 0 for equal bits. A null stands for -1.
static void expect_numbers(const struct json *got, const struct json *want, double tolerance)
{
    for (size_t i = 0; i < want->n; i++) {
        const struct json *w = &want->items[i], *g = json_find(got, w->key);
        if (w->kind == JSON_KIND_STRING) continue; // shared data repeats the name inside
        double value = w->kind == JSON_KIND_NULL ? -1 : w->number;
        if (g == NULL || g->kind != JSON_KIND_NUMBER)
            test_fail(__FILE__, __LINE__, "no number \"%s\"", w->key);
        else if (!(fabs(g->number - value) <= tolerance))
            test_fail(__FILE__, __LINE__, "%s = %.17g, want %.17g", w->key, g->number, value);
    }
}

TEST(the_files_numbers_are_those_of_pycocotools)
{
    char annotations[4096], results[4096];
    (void)snprintf(annotations, sizeof annotations, "%s",
                   test_source_path("tests/golden/coco_eval/instances.json"));
    (void)snprintf(results, sizeof results, "%s",
                   test_source_path("tests/golden/coco_eval/results.json"));
    EXPECT_OK(score(annotations, results, in_folder("o.json"), in_folder("o.safetensors")));
    struct json_document *got, *want;
    EXPECT_OK(json_read(in_folder("o.json"), &got));
    EXPECT_OK(json_read(test_source_path("tests/golden/coco_eval/expected.json"), &want));
    const struct json *g = json_root(got), *w = json_root(want);
    EXPECT_EQ(json_find(w, "stats")->n, COCO_EVAL_N_STATS);
    expect_numbers(json_find(g, "stats"), json_find(w, "stats"), 0);
    const struct json *categories = json_find(w, "per_category");
    EXPECT_EQ(categories->n, 4);
    for (size_t k = 0; k < categories->n; k++)
        expect_numbers(json_find(json_find(g, "per_category"), categories->items[k].key),
                       &categories->items[k], 0);
    json_destroy(got);
    json_destroy(want);
}

static void expect_shape(const struct safetensors *s, const char *name, int n_dims,
                         const int64_t *dim)
{
    const struct safetensors_entry *e = safetensors_find(s, name);
    EXPECT(e != NULL && e->type == SAFETENSORS_TYPE_F64 && e->n_dims == n_dims);
    for (int i = 0; e != NULL && i < n_dims; i++) EXPECT_EQ(e->dim[i], dim[i]);
}

static const char one_image[] =
    "{\"images\": [{\"id\": 5}], \"categories\": [{\"id\": 1, \"name\": \"a\"}, {\"id\": 2, "
    "\"name\": \"a\"}], \"annotations\": [{\"id\": 1, \"image_id\": 5, \"category_id\": 2, "
    "\"bbox\": [0, 0, 50, 50], \"area\": 2500, \"iscrowd\": 0}]}";
static const char one_hit[] =
    "[{\"image_id\": 5, \"category_id\": 2, \"bbox\": [0, 0, 50, 50], \"score\": 0.75}]";

static const char *write_text(const char *name, const char *text)
{
    const char *path = in_folder(name);
    EXPECT_OK(file_write(path, text, strlen(text)));
    return path;
}

TEST(the_arrays_have_pycocotools_axes)
{
    EXPECT_OK(score(write_text("one.json", one_image), write_text("hit.json", one_hit),
                    in_folder("one_o.json"), in_folder("one_o.safetensors")));
    struct safetensors *s;
    EXPECT_OK(safetensors_open(in_folder("one_o.safetensors"), &s));
    EXPECT_EQ(safetensors_n(s), 3);
    expect_shape(s, "precision", 5, (int64_t[]){10, 101, 2, 4, 3});
    expect_shape(s, "scores", 5, (int64_t[]){10, 101, 2, 4, 3});
    expect_shape(s, "recall", 4, (int64_t[]){10, 2, 4, 3});
    const double *precision = safetensors_find(s, "precision")->data;
    const double *scores = safetensors_find(s, "scores")->data;
    // (T, R, K, A, M): category 1 has no ground truth; 2 has one of medium size.
    EXPECT(precision[0] == -1 && precision[12] > 0.999 && precision[15] == -1);
    EXPECT(precision[18] > 0.999 && scores[18] == 0.75 && scores[0] == -1);
    safetensors_close(s);
}

TEST(categories_of_one_name_are_told_apart_by_their_ids)
{
    struct json_document *d;
    EXPECT_OK(score(write_text("one.json", one_image), write_text("hit.json", one_hit),
                    in_folder("two.json"), NULL));
    EXPECT_OK(json_read(in_folder("two.json"), &d));
    const struct json *categories = json_find(json_root(d), "per_category");
    EXPECT_EQ(categories->n, 2);
    EXPECT_STR(categories->items[0].key, "a (1)");
    EXPECT_STR(categories->items[1].key, "a (2)");
    json_destroy(d);
}

TEST(an_empty_list_of_results_finds_nothing)
{
    struct json_document *d;
    double ap;
    EXPECT_OK(score(write_text("one.json", one_image), write_text("none.json", "[]"),
                    in_folder("none_o.json"), NULL));
    EXPECT_OK(json_read(in_folder("none_o.json"), &d));
    EXPECT_OK(json_get_number(json_find(json_root(d), "stats"), "AP", &ap));
    EXPECT(ap == 0);
    json_destroy(d);
}

TEST(bad_results_are_refused_by_file_and_entry)
{
    static const char good[] =
        "{\"image_id\": 5, \"category_id\": 2, \"bbox\": [0, 0, 5, 5], \"score\": 1}";
    static const char *const cases[][2] = {
        {"{\"image_id\": 6, \"category_id\": 2, \"bbox\": [0, 0, 5, 5], \"score\": 1}",
         "result 1: image id 6"},
        {"{\"image_id\": \"5\", \"category_id\": 2, \"bbox\": [0, 0, 5, 5], \"score\": 1}",
         "result 1: image id \"5\""},
        {"{\"category_id\": 2, \"bbox\": [0, 0, 5, 5], \"score\": 1}", "image_id"},
        {"{\"image_id\": 5, \"bbox\": [0, 0, 5, 5], \"score\": 1}", "result 1: no integer \"cat"},
        {"{\"image_id\": 5, \"category_id\": 2, \"score\": 1}", "result 1: no \"bbox\""},
        {"{\"image_id\": 5, \"category_id\": 2, \"bbox\": [0, 0, 5], \"score\": 1}",
         "result 1: no \"bbox\""},
        {"{\"image_id\": 5, \"category_id\": 2, \"bbox\": [0, 0, 5, 5]}", "result 1: no finite"},
        {"{\"image_id\": 5, \"category_id\": 2, \"bbox\": [0, 0, 5, 5], \"score\": \"1\"}",
         "result 1: no finite"},
        {"{\"image_id\": 5, \"category_id\": 2, \"bbox\": [0, 0, 5, 5], \"score\": NaN}", "r.json"},
        {"7", "r.json"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[1024];
        (void)snprintf(text, sizeof text, "[%s, %s]", good, cases[i][0]);
        EXPECT_STATUS(score(write_text("one.json", one_image), write_text("r.json", text),
                            in_folder("bad_o.json"), NULL),
                      E_FORMAT);
        EXPECT_HAS(error_text(), "r.json");
        EXPECT_HAS(error_text(), cases[i][1]);
        EXPECT(!file_exists(in_folder("bad_o.json")));
    }
    EXPECT_STATUS(score(write_text("one.json", one_image), write_text("r.json", "{}"), NULL, NULL),
                  E_FORMAT);
    EXPECT_STATUS(score(in_folder("one.json"), in_folder("not_there.json"), NULL, NULL), E_IO);
    EXPECT_HAS(error_text(), "not_there.json");
}

TEST(a_place_that_cannot_be_written_is_named)
{
    EXPECT_STATUS(score(write_text("one.json", one_image), write_text("hit.json", one_hit),
                        in_folder("no/such/folder.json"), NULL),
                  E_IO);
    EXPECT_HAS(error_text(), "no/such/folder.json");
}

TEST(running_out_of_memory_anywhere_in_scoring_is_an_error_and_leaks_nothing)
{
    const char *annotations = write_text("one.json", one_image);
    const char *results = write_text("hit.json", one_hit);
    const char *json = in_folder("mem.json"), *arrays = in_folder("mem.safetensors");
    status st = E_NOMEM;
    int64_t n = 1;
    for (; st != OK && n < 1000; n++) {
        mem_fail_at(n);
        st = score(annotations, results, json, arrays);
        mem_fail_at(0);
        if (st != OK) EXPECT_EQ(st, E_NOMEM);
    }
    EXPECT(n > 40 && n < 1000);
}

// ---- Real data, where it is there ----

TEST(the_cocoapi_demo_gives_its_published_numbers)
{
    char annotations[4096], results[4096];
    const char *path = test_shared_data("coco_eval/instances_val2014_100.json");
    if (path == NULL) {
        printf("  shared data is not there\n");
        return;
    }
    (void)snprintf(annotations, sizeof annotations, "%s", path);
    path = test_shared_data("coco_eval/instances_val2014_fakebbox100_results.json");
    (void)snprintf(results, sizeof results, "%s", path);
    EXPECT_OK(score(annotations, results, in_folder("demo.json"), NULL));
    struct json_document *got, *want;
    EXPECT_OK(json_read(in_folder("demo.json"), &got));
    EXPECT_OK(json_read(test_shared_data("coco_eval/expected_bbox.json"), &want));
    const double digits = 0.5000001e-8; // the answers are rounded to eight digits
    const struct json *g = json_root(got), *w = json_root(want);
    expect_numbers(json_find(g, "stats"), json_find(w, "stats"), digits);
    const struct json *categories = json_find(w, "per_category");
    EXPECT_EQ(categories->n, 80);
    for (size_t k = 0; k < categories->n; k++) {
        const char *name;
        EXPECT_OK(json_get_text(&categories->items[k], "name", &name));
        expect_numbers(json_find(json_find(g, "per_category"), name), &categories->items[k],
                       digits);
    }
    json_destroy(got);
    json_destroy(want);
}

TEST(odd_real_files_are_scored_or_refused_by_name)
{
    static const char *const cases[][3] = {
        {"coco_json_corner/fce_gt_ignore_test.json", "coco_json_corner/fce_dt_ignore_test.json",
         "image id 2299 is not among"}, // the image's id is the text "2299"
        {"coco_json_corner/fce_gt_dataset.json", "coco_json_corner/fce_dt_dataset.json", NULL},
        {"coco_eval/instances_val2014_100.json",
         "coco_eval/instances_val2014_fakesegm100_results.json", "result 0: no \"bbox\""},
        {"coco_eval/instances_val2014_100.json",
         "coco_json_corner/cocoapi_person_keypoints_val2014_fakekeypoints100_results.json",
         "result 0"},
        {"coco_eval/instances_val2014_100.json", "coco_eval/instances_val2014_100.json", "array"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char annotations[4096], results[4096];
        const char *path = test_shared_data(cases[i][0]);
        if (path == NULL) {
            printf("  shared data is not there\n");
            return;
        }
        (void)snprintf(annotations, sizeof annotations, "%s", path);
        (void)snprintf(results, sizeof results, "%s", test_shared_data(cases[i][1]));
        EXPECT_STATUS(score(annotations, results, NULL, NULL), cases[i][2] == NULL ? OK : E_FORMAT);
        if (cases[i][2] != NULL) EXPECT_HAS(error_text(), cases[i][2]);
    }
}

TEST_MAIN()
