// Made-up COCO files.
#include "train/bench_coco.h"

#include <stdio.h>

#include "core/file.h"
#include "core/rng.h"
#include "io/json_write.h"

enum { WIDTH = 640, HEIGHT = 480, DRAWS = 8 };

struct thing {
    int64_t image, category; // ids, from 1
    double x, y, w, h;
};

static struct thing draw_thing(const struct bench_coco_params *p, uint64_t key, int64_t i)
{
    uint64_t at = (uint64_t)i * DRAWS;
    double side = 8 + 300 * (double)rng_uniform(key, at) * (double)rng_uniform(key, at + 1);
    struct thing t = {
        .image = 1 + (int64_t)rng_below(key, at + 2, (uint64_t)p->n_images),
        .category = 1 + (int64_t)rng_below(key, at + 3, (uint64_t)p->n_categories),
        .w = side,
        .h = side * (0.5 + (double)rng_uniform(key, at + 4)),
    };
    t.x = (double)rng_uniform(key, at + 5) * (WIDTH - t.w);
    t.y = (double)rng_uniform(key, at + 6) * (HEIGHT - t.h);
    return t;
}

static void write_box(struct json_write *w, const struct thing *t)
{
    const double box[] = {t->x, t->y, t->w, t->h};
    json_write_array(w, "bbox");
    for (int i = 0; i < 4; i++) json_write_digits(w, NULL, box[i], 6);
    json_write_end(w);
}

static void write_names(struct json_write *w, const struct bench_coco_params *p)
{
    char text[32];
    json_write_array(w, "images");
    for (int64_t i = 1; i <= p->n_images; i++) {
        (void)snprintf(text, sizeof text, "%012lld.jpg", (long long)i);
        json_write_object(w, NULL);
        json_write_integer(w, "id", i);
        json_write_text(w, "file_name", text);
        json_write_integer(w, "height", HEIGHT);
        json_write_integer(w, "width", WIDTH);
        json_write_end(w);
    }
    json_write_end(w);
    json_write_array(w, "categories");
    for (int64_t i = 1; i <= p->n_categories; i++) {
        (void)snprintf(text, sizeof text, "category %lld", (long long)i);
        json_write_object(w, NULL);
        json_write_integer(w, "id", i);
        json_write_text(w, "name", text);
        json_write_end(w);
    }
    json_write_end(w);
}

static void write_annotations(FILE *to, const struct bench_coco_params *p, uint64_t key)
{
    struct json_write w;
    json_write_init(&w, to, 0);
    json_write_object(&w, NULL);
    write_names(&w, p);
    json_write_array(&w, "annotations");
    for (int64_t i = 0; i < p->n_detections; i++) {
        struct thing t = draw_thing(p, key, i);
        json_write_object(&w, NULL);
        json_write_integer(&w, "id", i + 1);
        json_write_integer(&w, "image_id", t.image);
        json_write_integer(&w, "category_id", t.category);
        write_box(&w, &t);
        json_write_digits(&w, "area", 0.7 * t.w * t.h, 8);
        json_write_integer(&w, "iscrowd", i % 100 == 99);
        json_write_end(&w);
    }
    json_write_end(&w);
    json_write_end(&w);
}

static void write_results(FILE *to, const struct bench_coco_params *p, uint64_t key, uint64_t own)
{
    struct json_write w;
    json_write_init(&w, to, 0);
    json_write_array(&w, NULL);
    for (int64_t i = 0; i < p->n_detections; i++) {
        bool on = rng_uniform(own, 4 * (uint64_t)i) < 0.6f;
        struct thing t = draw_thing(p, on ? key : own + 1, i);
        if (on) {
            t.x += 0.2 * t.w * ((double)rng_uniform(own, 4 * (uint64_t)i + 1) - 0.5);
            t.w *= 0.8 + 0.4 * (double)rng_uniform(own, 4 * (uint64_t)i + 2);
        }
        json_write_object(&w, NULL);
        json_write_integer(&w, "image_id", t.image);
        json_write_integer(&w, "category_id", t.category);
        write_box(&w, &t);
        json_write_digits(&w, "score", (double)rng_uniform(own, 4 * (uint64_t)i + 3), 6);
        json_write_end(&w);
    }
    json_write_end(&w);
}

status bench_coco_write(const struct bench_coco_params *p, const char *annotations,
                        const char *results)
{
    uint64_t key = rng_key((uint64_t)p->seed, 0, 0, RNG_PURPOSE_TEST);
    uint64_t own = rng_key((uint64_t)p->seed, 0, 1, RNG_PURPOSE_TEST);
    FILE *file = NULL;
    TRY(file_open(annotations, "wb", &file));
    write_annotations(file, p, key);
    TRY(file_close(file, annotations));
    TRY(file_open(results, "wb", &file));
    write_results(file, p, key, own);
    return file_close(file, results);
}
