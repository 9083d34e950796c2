// shoal detect --weights F [--config C] [--compare F] [--score X] --out DIR IMAGE...
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "io/draw.h"
#include "io/jpeg.h"
#include "io/json_write.h"
#include "train/command.h"
#include "train/command_line.h"
#include "train/predictor.h"

struct request {
    const char *weights, *config, *compare, *out;
    double score;
    int n_words;
    char **words;
};

struct job {
    const struct request *request;
    struct predictor *model, *other; // other: of --compare, or NULL
    struct file_atomic results;
    struct json_write json;
};

// "dir/000000000139.jpg" -> "000000000139", the caller's.
static status stem_of(const char *path, char **stem)
{
    const char *slash = strrchr(path, '/');
    TRY(mem_strdup(slash != NULL ? slash + 1 : path, stem));
    char *dot = strrchr(*stem, '.');
    if (dot != NULL && dot != *stem) *dot = '\0';
    return OK;
}

// COCO's file names are their images' numbers; any other name stays text.
static void write_image_id(struct json_write *w, const char *stem)
{
    size_t digits = strspn(stem, "0123456789");
    if (digits > 0 && digits < 19 && stem[digits] == '\0')
        json_write_integer(w, "image_id", strtoll(stem, NULL, 10));
    else
        json_write_text(w, "image_id", stem);
}

static void write_detections(struct job *j, const char *stem, const struct detector_result *r)
{
    struct json_write *w = &j->json;
    for (int i = 0; i < r->offset[1]; i++) {
        const struct detection *d = &r->items[i];
        const struct category *category = label_set_find(&j->model->labels, d->label);
        if (category == NULL) continue;
        float width = d->x1 - d->x0, height = d->y1 - d->y0;
        json_write_object(w, NULL);
        write_image_id(w, stem);
        json_write_integer(w, "category_id", category->id);
        json_write_array(w, "bbox");
        json_write_number(w, NULL, (double)d->x0);
        json_write_number(w, NULL, (double)d->y0);
        json_write_number(w, NULL, (double)width);
        json_write_number(w, NULL, (double)height);
        json_write_end(w);
        json_write_number(w, "score", (double)d->score);
        json_write_end(w);
    }
}

// The picture with the boxes that reach the score asked for.
static status draw(const struct request *q, const struct predictor *p, const struct image *image,
                   const struct detector_result *r, struct image *out)
{
    struct draw_box *boxes = NULL;
    int n = 0;
    TRY(mem_alloc(&boxes, (size_t)r->offset[1]));
    for (int i = 0; i < r->offset[1]; i++) {
        const struct detection *d = &r->items[i];
        const struct category *category = label_set_find(&p->labels, d->label);
        if ((double)d->score < q->score || category == NULL) continue;
        boxes[n++] = (struct draw_box){.x0 = d->x0,
                                       .y0 = d->y0,
                                       .x1 = d->x1,
                                       .y1 = d->y1,
                                       .label = d->label,
                                       .name = category->name,
                                       .has_score = true,
                                       .score = d->score};
    }
    status st = draw_boxes(image, boxes, n, out);
    mem_free(boxes);
    return st;
}

static status detect_and_draw(const struct request *q, struct predictor *p,
                              const struct image *image, struct detector_result *r,
                              struct image *picture)
{
    TRY(predictor_run(p, image, r));
    return draw(q, p, image, r, picture);
}

static status write_picture(struct job *j, const struct image *image, const char *stem,
                            const struct image *drawn)
{
    const struct request *q = j->request;
    char *path = NULL;
    struct image both[2] = {{0}, *drawn}, grid = {0};
    struct detector_result other = {0};
    static const char *const titles[] = {"before", "after"};
    status st = OK;
    TRY_GOTO(st, mem_printf(&path, "%s/%s.png", q->out, stem), out);
    if (j->other == NULL) {
        TRY_GOTO(st, draw_write(drawn, path), out);
        goto out;
    }
    TRY_GOTO(st, detect_and_draw(q, j->other, image, &other, &both[0]), out);
    TRY_GOTO(st, draw_grid(both, 1, 2, titles, &grid), out);
    TRY_GOTO(st, draw_write(&grid, path), out);
out:
    detector_result_fini(&other);
    image_fini(&grid);
    image_fini(&both[0]);
    mem_free(path);
    return st;
}

static status one_image(struct job *j, const char *path)
{
    char *data = NULL, *stem = NULL;
    size_t n;
    struct image image = {0}, drawn = {0};
    struct detector_result r = {0};
    status st = OK;
    TRY(file_read(path, &data, &n));
    TRY_GOTO(st, stem_of(path, &stem), out);
    st = jpeg_decode((const unsigned char *)data, n, &image);
    if (st != OK) {
        error_prefix("%s", path);
        goto out;
    }
    TRY_GOTO(st, detect_and_draw(j->request, j->model, &image, &r, &drawn), out);
    write_detections(j, stem, &r);
    TRY_GOTO(st, write_picture(j, &image, stem, &drawn), out);
    log_info("%s: %d detections", path, r.offset[1]);
out:
    detector_result_fini(&r);
    image_fini(&drawn);
    image_fini(&image);
    mem_free(stem);
    mem_free(data);
    return st;
}

struct picture_name {
    char *stem;
    const char *path;
};

static int by_stem(const void *a, const void *b)
{
    return strcmp(((const struct picture_name *)a)->stem, ((const struct picture_name *)b)->stem);
}

// Two images of one name would share a picture and an id.
static status check_names(const struct request *q)
{
    struct picture_name *names = NULL;
    status st = OK;
    TRY(mem_zalloc(&names, (size_t)q->n_words));
    for (int i = 0; i < q->n_words && st == OK; i++) {
        names[i].path = q->words[i];
        st = stem_of(q->words[i], &names[i].stem);
    }
    if (st == OK) qsort(names, (size_t)q->n_words, sizeof *names, by_stem);
    for (int i = 1; i < q->n_words && st == OK; i++) {
        if (by_stem(&names[i - 1], &names[i]) != 0) continue;
        error_set(__FILE__, __LINE__, "%s and %s would both become %s.png; detect one at a time",
                  names[i - 1].path, names[i].path, names[i].stem);
        st = E_ARG;
    }
    for (int i = 0; i < q->n_words; i++) mem_free(names[i].stem);
    mem_free(names);
    return st;
}

static status write_all(struct job *j)
{
    const struct request *q = j->request;
    char *path = NULL;
    TRY(mem_printf(&path, "%s/results.json", q->out));
    status st = file_atomic_open(path, &j->results);
    mem_free(path);
    TRY(st);
    json_write_init(&j->json, j->results.file, 1);
    json_write_array(&j->json, NULL);
    for (int i = 0; i < q->n_words && st == OK; i++) st = one_image(j, q->words[i]);
    if (st == OK) json_write_end(&j->json);
    if (st == OK) st = file_atomic_commit(&j->results);
    file_atomic_abort(&j->results);
    return st;
}

// A folder that was made for nothing goes again.
static status all_images(struct job *j)
{
    const char *out = j->request->out;
    bool was_there = file_exists(out);
    TRY(file_make_folders(out));
    status st = write_all(j);
    if (st != OK && !was_there) (void)rmdir(out); // refused where a picture lies in it
    return st;
}

static status run(const struct request *q)
{
    struct config_comm_params alone = {.backend = CONFIG_COMM_SELF};
    struct comm *comm = NULL;
    struct job j = {.request = q};
    status st = OK;
    TRY(check_names(q));
    TRY(comm_create(&alone, &comm));
    TRY_GOTO(st, predictor_create(q->weights, q->config, comm, &j.model), out);
    if (q->compare != NULL)
        TRY_GOTO(st, predictor_create(q->compare, q->config, comm, &j.other), out);
    TRY_GOTO(st, all_images(&j), out);
    printf("%d pictures and results.json in %s\n", q->n_words, q->out);
out:
    predictor_destroy(j.other);
    predictor_destroy(j.model);
    comm_destroy(comm);
    return st;
}

status command_detect(int argc, char **argv)
{
    struct request q = {.score = 0.5};
    const struct command_line_option options[] = {
        {"weights", COMMAND_LINE_TEXT, &q.weights, "F",
         "a checkpoint's model.safetensors, which carries its settings and categories", 0, 0, true},
        {"config", COMMAND_LINE_TEXT, &q.config, "C", "settings, in the place of the file's own", 0,
         0, false},
        {"compare", COMMAND_LINE_TEXT, &q.compare, "F",
         "weights of an earlier time, drawn beside as \"before\"", 0, 0, false},
        {"score", COMMAND_LINE_NUMBER, &q.score, "X",
         "draw detections of this score and above (0.5); results.json holds all", 0, 1, false},
        {"out", COMMAND_LINE_TEXT, &q.out, "DIR", "folder for pictures and results.json", 0, 0,
         true},
    };
    const struct command_line line = {
        .usage =
            "shoal detect --weights F [--config C] [--compare F] [--score X] --out DIR IMAGE...",
        .about = "Detects objects in JPEG files: COCO results JSON and pictures with boxes.",
        .options = options,
        .n_options = COUNT(options),
        .min_words = 1,
        .max_words = -1,
    };
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &q.n_words, &q.words, &is_help));
    return is_help ? OK : run(&q);
}
