// The report of inspect, for people, as JSON, and as pictures.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/draw.h"
#include "io/inspect.h"
#include "io/jpeg.h"
#include "io/json_write.h"

typedef unsigned long long count;

enum { BAR_CHARACTERS = 40 };

static void print_bar(FILE *to, uint64_t value, uint64_t largest)
{
    double share = largest > 0 ? (double)value / (double)largest : 0;
    int length = (int)ceil(share * BAR_CHARACTERS);
    for (int i = 0; i < length; i++) (void)fputc('#', to);
    (void)fputc('\n', to);
}

static void print_sizes(const struct inspect_report *r, FILE *to)
{
    uint64_t largest = 0;
    (void)fprintf(to,
                  "\nboxes by area      small (< 32^2) %llu, medium %llu, large (>= 96^2) %llu\n",
                  (count)r->small, (count)r->medium, (count)r->large);
    for (int i = 0; i < INSPECT_SIZE_BINS; i++)
        if (r->size_bins[i] > largest) largest = r->size_bins[i];
    for (int i = 0; i < INSPECT_SIZE_BINS; i++) {
        if (r->size_bins[i] == 0) continue;
        char range[32];
        if (i == INSPECT_SIZE_BINS - 1)
            (void)snprintf(range, sizeof range, "%d px and more", 1 << i);
        else
            (void)snprintf(range, sizeof range, "%d to %d px", i == 0 ? 0 : 1 << i, 2 << i);
        (void)fprintf(to, "  %-16s %10llu ", range, (count)r->size_bins[i]);
        print_bar(to, r->size_bins[i], largest);
    }
}

static void print_categories(const struct inspect_report *r, FILE *to)
{
    uint64_t largest = 0;
    (void)fprintf(to, "\nlabel        id  category                  boxes  crowds  images\n");
    for (int i = 0; i < r->n_categories; i++)
        if (r->categories[i].boxes > largest) largest = r->categories[i].boxes;
    for (int i = 0; i < r->n_categories; i++) {
        const struct inspect_category *c = &r->categories[i];
        (void)fprintf(to, "%5d %9lld  %-20s %10llu %7llu %7llu  ", c->category.label,
                      (long long)c->category.id, c->category.name, (count)c->boxes,
                      (count)c->crowds, (count)c->images);
        print_bar(to, c->boxes, largest);
    }
}

void inspect_print(const struct inspect_report *r, const char *name, FILE *to)
{
    (void)fprintf(to, "%s\n", name);
    (void)fprintf(to, "images             %llu, %llu of them with boxes to train on\n",
                  (count)r->images, (count)r->usable);
    (void)fprintf(to,
                  "boxes              %llu, of them %llu crowds, %llu without area, %llu past the "
                  "edge; at most %llu in an image\n",
                  (count)r->annotations, (count)r->crowds, (count)r->empty_boxes,
                  (count)r->boxes_past_edge, (count)r->most_boxes);
    (void)fprintf(to, "height x width     %d to %d x %d to %d, mean %.1f x %.1f\n", r->min_h,
                  r->max_h, r->min_w, r->max_w, r->mean_h, r->mean_w);
    (void)fprintf(to, "channels           mean [%.4f, %.4f, %.4f], deviation [%.4f, %.4f, %.4f]\n",
                  r->channels[0].mean, r->channels[1].mean, r->channels[2].mean,
                  inspect_deviation(&r->channels[0]), inspect_deviation(&r->channels[1]),
                  inspect_deviation(&r->channels[2]));
    print_sizes(r, to);
    print_categories(r, to);
}

// ---- JSON
// ----------------------------------------------------------------------------------------

static void write_count(struct json_write *w, const char *key, uint64_t value)
{
    json_write_integer(w, key, (int64_t)value);
}

static void write_sizes(struct json_write *w, const struct inspect_report *r)
{
    json_write_object(w, "boxes_by_area");
    write_count(w, "small", r->small);
    write_count(w, "medium", r->medium);
    write_count(w, "large", r->large);
    json_write_end(w);
    json_write_array(w, "boxes_by_side");
    for (int i = 0; i < INSPECT_SIZE_BINS; i++) {
        json_write_object(w, NULL);
        json_write_integer(w, "from_px", i == 0 ? 0 : 1 << i);
        write_count(w, "boxes", r->size_bins[i]);
        json_write_end(w);
    }
    json_write_end(w);
}

static void write_categories(struct json_write *w, const struct inspect_report *r)
{
    json_write_array(w, "categories");
    for (int i = 0; i < r->n_categories; i++) {
        const struct inspect_category *c = &r->categories[i];
        json_write_object(w, NULL);
        json_write_integer(w, "label", c->category.label);
        json_write_integer(w, "id", c->category.id);
        json_write_text(w, "name", c->category.name);
        write_count(w, "boxes", c->boxes);
        write_count(w, "crowds", c->crowds);
        write_count(w, "images", c->images);
        json_write_end(w);
    }
    json_write_end(w);
}

static void write_channels(struct json_write *w, const struct inspect_report *r)
{
    json_write_array(w, "channel_mean");
    for (int c = 0; c < 3; c++) json_write_number(w, NULL, r->channels[c].mean);
    json_write_end(w);
    json_write_array(w, "channel_deviation");
    for (int c = 0; c < 3; c++) json_write_number(w, NULL, inspect_deviation(&r->channels[c]));
    json_write_end(w);
}

void inspect_write_json(const struct inspect_report *r, FILE *to)
{
    struct json_write w;
    json_write_init(&w, to, 2);
    json_write_object(&w, NULL);
    write_count(&w, "images", r->images);
    write_count(&w, "images_with_boxes", r->usable);
    write_count(&w, "annotations", r->annotations);
    write_count(&w, "crowds", r->crowds);
    write_count(&w, "boxes_without_area", r->empty_boxes);
    write_count(&w, "boxes_past_edge", r->boxes_past_edge);
    write_count(&w, "most_boxes_in_an_image", r->most_boxes);
    json_write_integer(&w, "min_height", r->min_h);
    json_write_integer(&w, "max_height", r->max_h);
    json_write_integer(&w, "min_width", r->min_w);
    json_write_integer(&w, "max_width", r->max_w);
    json_write_number(&w, "mean_height", r->mean_h);
    json_write_number(&w, "mean_width", r->mean_w);
    write_channels(&w, r);
    write_sizes(&w, r);
    write_categories(&w, r);
    json_write_end(&w);
}
