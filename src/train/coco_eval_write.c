// The metrics in files.
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/json_write.h"
#include "io/safetensors.h"
#include "train/coco_eval.h"

static bool shares_name(const struct coco_eval *e, int k)
{
    for (int i = 0; i < e->n_categories; i++)
        if (i != k && strcmp(e->categories[i].name, e->categories[k].name) == 0) return true;
    return false;
}

static status write_category(const struct coco_eval *e, int k, struct json_write *w)
{
    const struct coco_eval_category *c = &e->categories[k];
    char *key;
    if (shares_name(e, k))
        TRY(mem_printf(&key, "%s (%lld)", c->name, (long long)c->id));
    else
        TRY(mem_strdup(c->name, &key));
    json_write_object(w, key);
    json_write_number(w, "AP", c->ap);
    json_write_number(w, "AP50", c->ap50);
    json_write_number(w, "AR", c->ar);
    json_write_number(w, "F1", c->f1);
    json_write_end(w);
    mem_free(key);
    return OK;
}

static status write_json(const struct coco_eval *e, FILE *file)
{
    struct json_write w;
    json_write_init(&w, file, 2);
    json_write_object(&w, NULL);
    json_write_object(&w, "stats");
    for (int i = 0; i < COCO_EVAL_N_STATS; i++)
        json_write_number(&w, coco_eval_stat_name(i), e->stats[i]);
    json_write_end(&w);
    json_write_object(&w, "per_category");
    for (int k = 0; k < e->n_categories; k++) TRY(write_category(e, k, &w));
    json_write_end(&w);
    json_write_end(&w);
    return OK;
}

status coco_eval_write_json(const struct coco_eval *e, const char *path)
{
    struct file_atomic f;
    TRY(file_atomic_open(path, &f));
    status st = write_json(e, f.file);
    if (st == OK) return file_atomic_commit(&f);
    file_atomic_abort(&f);
    return st;
}

status coco_eval_write_arrays(const struct coco_eval *e, const char *path)
{
    const struct coco_eval_params *p = &e->params;
    const int64_t curves[] = {p->n_ious, p->n_recalls, e->n_categories, p->n_areas, p->n_limits};
    const int64_t recalls[] = {p->n_ious, e->n_categories, p->n_areas, p->n_limits};
    struct safetensors_writer *w = NULL;
    status st = safetensors_writer_create(&w);
    if (st != OK) return st;
    const enum safetensors_type type = SAFETENSORS_TYPE_F64;
    TRY_GOTO(st, safetensors_add(w, "precision", type, 5, curves, e->precision), out);
    TRY_GOTO(st, safetensors_add(w, "recall", type, 4, recalls, e->recall), out);
    TRY_GOTO(st, safetensors_add(w, "scores", type, 5, curves, e->scores), out);
    TRY_GOTO(st, safetensors_write(w, path), out);
out:
    safetensors_writer_destroy(w);
    return st;
}
