// The COCO box metrics: hand-worked numbers, and pycocotools' arrays bit for bit
// (tests/golden/coco_eval/cases.txt, written by tests/golden/make_coco_eval.py).
#include "train/coco_eval.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "support/test.h"

enum { N_IOUS = 10, N_RECALLS = 101, N_AREAS = 4, N_LIMITS = 3 };

// A problem in arrays of its own.
struct problem {
    char name[256];
    struct coco_eval_input in;
    struct category *categories;
    struct coco_id *images;
    struct annotation *annotations;
    int32_t *annotation_image;
    struct coco_detection *detections;
};

static void problem_fini(struct problem *p)
{
    for (size_t k = 0; k < p->in.n_categories; k++) free(p->categories[k].name);
    for (size_t i = 0; i < p->in.n_images; i++) free(p->images[i].text);
    free(p->categories);
    free(p->images);
    free(p->annotations);
    free(p->annotation_image);
    free(p->detections);
}

// ---- Reading the golden cases: a broken file is a failure of the tree, so it just stops ----

struct words {
    FILE *file;
    char word[256];
};

static const char *next(struct words *w)
{
    if (fscanf(w->file, "%255s", w->word) != 1) {
        printf("golden file ends too early\n");
        abort();
    }
    return w->word;
}

static double next_double(struct words *w)
{
    char *end;
    double v = strtod(next(w), &end);
    if (*end != '\0') {
        printf("golden file: %s where a number should be\n", w->word);
        abort();
    }
    return v;
}

static int64_t next_int(struct words *w)
{
    return strtoll(next(w), NULL, 10);
}

static size_t next_count(struct words *w, const char *key)
{
    if (strcmp(next(w), key) != 0) {
        printf("golden file: %s where %s should be\n", w->word, key);
        abort();
    }
    return (size_t)next_int(w);
}

static void read_annotations(struct words *w, struct problem *p)
{
    p->in.n_annotations = next_count(w, "annotations");
    p->annotations = calloc(p->in.n_annotations + 1, sizeof *p->annotations);
    p->annotation_image = calloc(p->in.n_annotations + 1, sizeof *p->annotation_image);
    for (size_t i = 0; i < p->in.n_annotations; i++) {
        struct annotation *a = &p->annotations[i];
        a->id = next_int(w);
        p->annotation_image[i] = (int32_t)next_int(w);
        a->category_id = next_int(w);
        a->x = next_double(w);
        a->y = next_double(w);
        a->w = next_double(w);
        a->h = next_double(w);
        a->area = next_double(w);
        a->is_crowd = next_int(w) != 0;
    }
}

static void read_detections(struct words *w, struct problem *p)
{
    p->in.n_detections = next_count(w, "detections");
    p->detections = calloc(p->in.n_detections + 1, sizeof *p->detections);
    for (size_t i = 0; i < p->in.n_detections; i++) {
        struct coco_detection *d = &p->detections[i];
        d->image = (size_t)next_int(w);
        d->category_id = next_int(w);
        d->x = next_double(w);
        d->y = next_double(w);
        d->w = next_double(w);
        d->h = next_double(w);
        d->score = next_double(w);
    }
}

static void read_problem(struct words *w, struct problem *p)
{
    *p = (struct problem){0};
    (void)snprintf(p->name, sizeof p->name, "%s", next(w));
    p->in.n_categories = next_count(w, "categories");
    p->categories = calloc(p->in.n_categories + 1, sizeof *p->categories);
    for (size_t k = 0; k < p->in.n_categories; k++) {
        p->categories[k].id = next_int(w);
        p->categories[k].name = strdup(next(w));
    }
    p->in.n_images = next_count(w, "images");
    p->images = calloc(p->in.n_images + 1, sizeof *p->images);
    for (size_t i = 0; i < p->in.n_images; i++) {
        p->images[i].is_number = strcmp(next(w), "n") == 0;
        if (p->images[i].is_number)
            p->images[i].number = next_int(w);
        else
            p->images[i].text = strdup(next(w));
    }
    read_annotations(w, p);
    read_detections(w, p);
    p->in.categories = p->categories;
    p->in.images = p->images;
    p->in.annotations = p->annotations;
    p->in.annotation_image = p->annotation_image;
    p->in.detections = p->detections;
}

// ---- Comparing: ==, so that -0 and 0 agree and nothing else does ----

static bool expect_same(const char *name, const char *what, size_t i, double got, double want)
{
    if (got == want) return true;
    test_fail(__FILE__, __LINE__, "%s: %s[%zu] = %.17g, want %.17g", name, what, i, got, want);
    return false;
}

// A curve of the file: recall, and precision and score at each recall threshold.
struct curve {
    double recall, precision[N_RECALLS], score[N_RECALLS];
};

static void read_curve(struct words *w, struct curve *c)
{
    if (strcmp(next(w), "=") == 0) return; // the one before
    c->recall = strtod(w->word, NULL);
    int64_t n_runs = next_int(w);
    int r = 0;
    for (int64_t i = 0; i < n_runs; i++) {
        int end = r + (int)next_int(w);
        double precision = next_double(w), score = next_double(w);
        for (; r < end && r < N_RECALLS; r++) {
            c->precision[r] = precision;
            c->score[r] = score;
        }
    }
    ASSERT(r == N_RECALLS);
}

static bool same_curve(const struct problem *p, const struct coco_eval *e, const struct curve *c,
                       size_t kam, size_t n_kam, size_t t)
{
    bool same =
        expect_same(p->name, "recall", t * n_kam + kam, e->recall[t * n_kam + kam], c->recall);
    for (size_t r = 0; r < N_RECALLS && same; r++) {
        size_t at = (t * N_RECALLS + r) * n_kam + kam;
        same = expect_same(p->name, "precision", at, e->precision[at], c->precision[r]) &&
               expect_same(p->name, "scores", at, e->scores[at], c->score[r]);
    }
    return same;
}

// Reads the answers to their end, and compares until something differs.
static void expect_answers(struct words *w, const struct problem *p, const struct coco_eval *e)
{
    static struct curve c;
    bool same = strcmp(next(w), "stats") == 0;
    for (size_t i = 0; i < COCO_EVAL_N_STATS; i++)
        same &= expect_same(p->name, "stats", i, e->stats[i], next_double(w));
    for (int k = 0; k < e->n_categories; k++) {
        const struct coco_eval_category *got = &e->categories[k];
        for (size_t i = 0; i < 4; i++)
            same &=
                expect_same(p->name, "category's AP, AP50, AR, F1", i,
                            (double[]){got->ap, got->ap50, got->ar, got->f1}[i], next_double(w));
    }
    size_t n_kam = (size_t)e->n_categories * N_AREAS * N_LIMITS;
    for (size_t kam = 0; kam < n_kam; kam++)
        for (size_t t = 0; t < N_IOUS; t++) {
            read_curve(w, &c);
            same = same && same_curve(p, e, &c, kam, n_kam, t);
        }
}

TEST(every_array_equals_pycocotools_bit_for_bit)
{
    const char *path = getenv("SHOAL_COCO_EVAL_CASES");
    if (path == NULL) path = test_source_path("tests/golden/coco_eval/cases.txt");
    struct words w = {.file = fopen(path, "r")};
    if (w.file == NULL) {
        test_fail(__FILE__, __LINE__, "%s: cannot be read", path);
        return;
    }
    int n = 0;
    while (fgetc(w.file) != '\n') // the versions
        ;
    for (; strcmp(next(&w), "case") == 0; n++) {
        struct problem p;
        read_problem(&w, &p);
        struct coco_eval *e;
        EXPECT_OK(coco_eval_create(&p.in, NULL, &e));
        EXPECT_EQ(e->n_categories, p.in.n_categories);
        expect_answers(&w, &p, e);
        coco_eval_destroy(e);
        problem_fini(&p);
    }
    EXPECT_STR(w.word, "end");
    EXPECT(n >= 1);
    printf("  %d cases of %s\n", n, path);
    fclose(w.file);
}

// ---- Numbers worked by hand ----

static struct category cat = {.label = 1, .id = 1, .name = (char *)"cat"};
static const struct coco_id two_images[] = {{.is_number = true, .number = 10},
                                            {.is_number = true, .number = 9}};

static struct coco_eval *evaluate(const struct annotation *a, const int32_t *image, size_t n_a,
                                  const struct coco_detection *d, size_t n_d)
{
    struct coco_eval_input in = {
        .categories = &cat,
        .n_categories = 1,
        .images = two_images,
        .n_images = 2,
        .annotations = a,
        .annotation_image = image,
        .n_annotations = n_a,
        .detections = d,
        .n_detections = n_d,
    };
    struct coco_eval *e = NULL;
    EXPECT_OK(coco_eval_create(&in, NULL, &e));
    return e;
}

TEST(a_hit_after_a_miss_halves_the_precision)
{
    const struct annotation a[] = {{.id = 1, .category_id = 1, .w = 50, .h = 50, .area = 2500}};
    const int32_t image[] = {0};
    // The better score misses; the other has IoU 40 * 50 / 2500 = 0.8, true at seven thresholds.
    const struct coco_detection d[] = {
        {.image = 0, .category_id = 1, .x = 100, .w = 50, .h = 50, .score = 0.9},
        {.image = 0, .category_id = 1, .w = 40, .h = 50, .score = 0.8},
    };
    struct coco_eval *e = evaluate(a, image, 1, d, 2);
    EXPECT_NEAR(e->categories[0].ap50, 0.5, 1e-15);
    EXPECT_NEAR(e->categories[0].ap, 0.5 * 7 / 10, 1e-15);
    EXPECT_NEAR(e->categories[0].ar, 0.7, 1e-15);
    EXPECT_NEAR(e->categories[0].f1, 2 * 0.35 * 0.7 / (0.35 + 0.7), 1e-15);
    EXPECT(e->stats[0] == e->categories[0].ap);
    EXPECT(e->stats[3] == -1);                  // no small ground truth
    EXPECT(e->stats[4] == e->categories[0].ap); // 2500 square pixels are of medium size
    EXPECT(e->stats[6] == 0);                   // the one detection allowed misses
    coco_eval_destroy(e);
}

TEST(an_annotation_with_id_zero_is_never_matched_and_counted_for_a_warning)
{
    struct annotation a[] = {{.id = 0, .category_id = 1, .w = 50, .h = 50, .area = 2500}};
    const int32_t image[] = {1};
    const struct coco_detection d[] = {
        {.image = 1, .category_id = 1, .w = 50, .h = 50, .score = 0.9}};
    struct coco_eval *e = evaluate(a, image, 1, d, 1);
    EXPECT(e->stats[0] == 0);
    EXPECT_EQ(e->n_id_zero, 1);
    coco_eval_destroy(e);
    a[0].id = 7;
    e = evaluate(a, image, 1, d, 1);
    EXPECT_NEAR(e->stats[0], 1, 1e-15);
    EXPECT_EQ(e->n_id_zero, 0);
    coco_eval_destroy(e);
}

TEST(equal_scores_are_taken_in_the_order_of_image_ids)
{
    // Image 9 comes first though it is listed second; its detection misses.
    const struct annotation a[] = {{.id = 1, .category_id = 1, .w = 50, .h = 50, .area = 2500}};
    const int32_t image[] = {0};
    const struct coco_detection d[] = {
        {.image = 0, .category_id = 1, .w = 50, .h = 50, .score = 0.5},
        {.image = 1, .category_id = 1, .w = 50, .h = 50, .score = 0.5},
    };
    struct coco_eval *e = evaluate(a, image, 1, d, 2);
    EXPECT_NEAR(e->stats[0], 0.5, 1e-15);
    coco_eval_destroy(e);
}

TEST(a_detection_of_an_unlisted_category_is_left_out_and_counted)
{
    const struct coco_detection d[] = {
        {.image = 0, .category_id = 1, .w = 5, .h = 5, .score = 0.5},
        {.image = 1, .category_id = 2, .w = 5, .h = 5, .score = 0.5},
    };
    struct coco_eval *e = evaluate(NULL, NULL, 0, d, 2);
    EXPECT_EQ(e->n_unknown_detections, 1);
    EXPECT_EQ(e->first_unknown_detection, 1);
    EXPECT(e->stats[0] == -1);
    EXPECT(e->categories[0].f1 == -1);
    coco_eval_destroy(e);
}

// ---- What cannot be evaluated ----

TEST(a_score_that_is_not_a_number_is_refused_naming_the_image)
{
    const struct coco_detection d[] = {
        {.image = 1, .category_id = 1, .w = 5, .h = 5, .score = NAN}};
    struct coco_eval_input in = {.categories = &cat,
                                 .n_categories = 1,
                                 .images = two_images,
                                 .n_images = 2,
                                 .detections = d,
                                 .n_detections = 1};
    struct coco_eval *e;
    EXPECT_STATUS(coco_eval_create(&in, NULL, &e), E_FORMAT);
    EXPECT_HAS(error_text(), "image 9");
}

TEST(two_images_with_one_id_are_refused)
{
    const struct coco_id images[] = {
        {.text = (char *)"a"}, {.text = (char *)"b"}, {.text = (char *)"a"}};
    struct coco_eval_input in = {
        .categories = &cat, .n_categories = 1, .images = images, .n_images = 3};
    struct coco_eval *e;
    EXPECT_STATUS(coco_eval_create(&in, NULL, &e), E_FORMAT);
    EXPECT_HAS(error_text(), "\"a\"");
}

TEST(thresholds_out_of_order_are_refused)
{
    struct coco_eval_params params;
    coco_eval_params_init(&params);
    params.recall[3] = 0.9;
    struct coco_eval_input in = {
        .categories = &cat, .n_categories = 1, .images = two_images, .n_images = 2};
    struct coco_eval *e;
    EXPECT_STATUS(coco_eval_create(&in, &params, &e), E_ARG);
}

TEST(running_out_of_memory_anywhere_is_an_error_and_leaks_nothing)
{
    const struct annotation a[] = {{.id = 1, .category_id = 1, .w = 50, .h = 50, .area = 2500},
                                   {.id = 1, .category_id = 1, .w = 50, .h = 50, .area = 2500}};
    const int32_t image[] = {0, 1};
    const struct coco_detection d[] = {
        {.image = 0, .category_id = 1, .w = 50, .h = 50, .score = 0.5}};
    struct coco_eval_input in = {.categories = &cat,
                                 .n_categories = 1,
                                 .images = two_images,
                                 .n_images = 2,
                                 .annotations = a,
                                 .annotation_image = image,
                                 .n_annotations = 2,
                                 .detections = d,
                                 .n_detections = 1};
    int64_t n = 1;
    for (;; n++) {
        struct coco_eval *e;
        mem_fail_at(n);
        status st = coco_eval_create(&in, NULL, &e);
        mem_fail_at(0);
        if (st == OK) {
            coco_eval_destroy(e);
            break;
        }
        EXPECT_EQ(st, E_NOMEM);
    }
    EXPECT(n > 20);
}

TEST_MAIN()
