// Drawing one picture.
#include "io/synth.h"

#include <math.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/rng.h"
#include "io/draw_internal.h"

static const double pi = 3.14159265358979323846;

enum {
    GRAIN_PX = 8,         // the background's noise is this much coarser than its pixels
    GRAIN_DEVIATION = 30, // grey levels
    MIN_COLOUR_GAP = 150, // sum over channels between a shape and the background's colour
    MAX_TRIES = 40,       // for a free place
    HALF_COVERED = 128,   // of 255
};
static const double least_radius = 0.06, most_radius = 0.25; // of the picture's side

enum shape { CIRCLE, SQUARE, TRIANGLE, STAR, RING, CROSS, DIAMOND, PENTAGON };

static const struct {
    const char *name;
    bool turns; // others would be taken for one another, or look the same
} classes[SYNTH_N_CLASSES] = {
    [CIRCLE] = {"circle", false},    [SQUARE] = {"square", true},
    [TRIANGLE] = {"triangle", true}, [STAR] = {"star", true},
    [RING] = {"ring", false},        [CROSS] = {"cross", false},
    [DIAMOND] = {"diamond", false},  [PENTAGON] = {"pentagon", true},
};

const char *synth_class_name(int32_t label)
{
    ASSERT(label >= 1 && label <= SYNTH_N_CLASSES);
    return classes[label - 1].name;
}

// The picture's own random numbers, one after the other.
struct dice {
    uint64_t key, next;
};

static double uniform(struct dice *dice, double low, double high)
{
    return low + (high - low) * (double)rng_uniform(dice->key, dice->next++);
}

static int below(struct dice *dice, int n)
{
    return (int)rng_below(dice->key, dice->next++, (uint64_t)n);
}

// ---- The background ---------------------------------------------------------------------------

struct colour {
    double channel[3]; // 0..255
};

// Keys' cubic convolution with a = -1/2: weights of the four samples around t in [0, 1).
static void cubic_weights(double t, double w[4])
{
    double t2 = t * t, t3 = t2 * t;
    w[0] = -0.5 * t3 + t2 - 0.5 * t;
    w[1] = 1.5 * t3 - 2.5 * t2 + 1;
    w[2] = -1.5 * t3 + 2 * t2 + 0.5 * t;
    w[3] = 0.5 * t3 - 0.5 * t2;
}

// Which coarse samples lie around fine pixel i, and their weights; edges are repeated.
static void coarse_taps(int32_t i, int32_t n, int32_t at[4], double w[4])
{
    double position = (i + 0.5) / GRAIN_PX - 0.5, whole = floor(position);
    cubic_weights(position - whole, w);
    for (int k = 0; k < 4; k++) {
        int32_t sample = (int32_t)whole - 1 + k;
        at[k] = sample < 0 ? 0 : sample >= n ? n - 1 : sample;
    }
}

static double blend(const double *grain, int32_t n, const int32_t ys[4], const double wy[4],
                    const int32_t xs[4], const double wx[4], int channel)
{
    double sum = 0;
    for (int j = 0; j < 4; j++) {
        double row = 0;
        for (int k = 0; k < 4; k++) row += wx[k] * grain[(ys[j] * n + xs[k]) * 3 + channel];
        sum += wy[j] * row;
    }
    return sum;
}

static unsigned char to_byte(double v)
{
    return (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5);
}

// Coarse normal noise around one colour, enlarged smoothly.
static status paint_background(uint64_t key, struct colour base, struct image *image)
{
    int32_t n = (image->h + GRAIN_PX - 1) / GRAIN_PX;
    double *grain = NULL, wy[4], wx[4];
    int32_t ys[4], xs[4];
    TRY(mem_alloc(&grain, (size_t)n * (size_t)n * 3));
    for (int32_t i = 0; i < n * n * 3; i++)
        grain[i] = base.channel[i % 3] + GRAIN_DEVIATION * rng_normal(key, (uint64_t)i);
    unsigned char *to = image->pixels;
    for (int32_t y = 0; y < image->h; y++) {
        coarse_taps(y, n, ys, wy);
        for (int32_t x = 0; x < image->w; x++, to += 3) {
            coarse_taps(x, n, xs, wx);
            for (int c = 0; c < 3; c++) to[c] = to_byte(blend(grain, n, ys, wy, xs, wx, c));
        }
    }
    mem_free(grain);
    return OK;
}

// ---- Shapes -----------------------------------------------------------------------------------

struct place {
    double x, y, radius; // of the circle around the shape, pixels
};

// A polygon whose corners lie on the unit circle, every second one on `inner` of it.
static void trace_polygon(cairo_t *cairo, int n, double inner)
{
    for (int i = 0; i < n; i++) {
        double angle = 2 * pi * i / n - pi / 2, r = i % 2 == 1 ? inner : 1;
        cairo_line_to(cairo, r * cos(angle), r * sin(angle));
    }
    cairo_close_path(cairo);
}

static void trace_cross(cairo_t *cairo)
{
    const double a = 0.95, b = 0.3;
    const double corners[12][2] = {{-b, -a}, {b, -a}, {b, -b}, {a, -b}, {a, b},   {b, b},
                                   {b, a},   {-b, a}, {-b, b}, {-a, b}, {-a, -b}, {-b, -b}};
    for (int i = 0; i < 12; i++) cairo_line_to(cairo, corners[i][0], corners[i][1]);
    cairo_close_path(cairo);
}

// The shape in the unit circle.
static void trace(cairo_t *cairo, enum shape shape)
{
    switch (shape) {
    case CIRCLE:
        cairo_arc(cairo, 0, 0, 1, 0, 2 * pi);
        break;
    case SQUARE:
        trace_polygon(cairo, 4, 1);
        break;
    case TRIANGLE:
        trace_polygon(cairo, 3, 1);
        break;
    case STAR:
        trace_polygon(cairo, 10, 0.45);
        break;
    case RING:
        cairo_arc(cairo, 0, 0, 1, 0, 2 * pi);
        cairo_new_sub_path(cairo);
        cairo_arc(cairo, 0, 0, 0.55, 0, 2 * pi);
        break;
    case CROSS:
        trace_cross(cairo);
        break;
    case DIAMOND:
        trace_polygon(cairo, 4, 0.6);
        break; // narrower than a square on its corner
    case PENTAGON:
        trace_polygon(cairo, 5, 1);
        break;
    }
}

static void fill(cairo_t *cairo, enum shape shape, struct place at, double turn, struct colour c)
{
    cairo_save(cairo);
    cairo_translate(cairo, at.x, at.y);
    cairo_rotate(cairo, turn);
    cairo_scale(cairo, at.radius, at.radius);
    cairo_set_fill_rule(cairo, CAIRO_FILL_RULE_EVEN_ODD);
    cairo_set_source_rgb(cairo, c.channel[0] / 255, c.channel[1] / 255, c.channel[2] / 255);
    cairo_new_path(cairo);
    trace(cairo, shape);
    cairo_fill(cairo);
    cairo_restore(cairo);
}

// The shape alone, white on black: which pixels it covers.
static status measure(enum shape shape, struct place at, double turn, int32_t size,
                      struct synth_shape *out)
{
    struct draw_surface s;
    struct image mask = {0};
    int32_t x0 = size, y0 = size, x1 = -1, y1 = -1;
    TRY(draw_surface_init(size, size, &s));
    fill(s.cairo, shape, at, turn, (struct colour){{255, 255, 255}});
    status st = draw_surface_get(&s, &mask);
    draw_surface_fini(&s);
    TRY(st);
    for (int32_t i = 0; i < size * size; i++) {
        if (mask.pixels[3 * (size_t)i] < HALF_COVERED) continue;
        int32_t x = i % size, y = i / size;
        x0 = x < x0 ? x : x0;
        x1 = x > x1 ? x : x1;
        y0 = y < y0 ? y : y0;
        y1 = y > y1 ? y : y1;
        out->area++;
    }
    image_fini(&mask);
    ASSERT(x1 >= x0 && y1 >= y0);
    out->x = x0;
    out->y = y0;
    out->w = x1 - x0 + 1;
    out->h = y1 - y0 + 1;
    return OK;
}

// ---- The picture ------------------------------------------------------------------------------

struct scene {
    struct dice dice;
    int32_t size;
    struct colour background;
    struct place places[SYNTH_MAX_SHAPES]; // of the shapes drawn so far
};

static bool is_free(const struct scene *scene, int n, struct place at)
{
    for (int i = 0; i < n; i++) {
        const struct place *p = &scene->places[i];
        if (hypot(at.x - p->x, at.y - p->y) < at.radius + p->radius + 2) return false;
    }
    return true;
}

// Sizes are log-uniform: as many small as large ones.
static bool find_place(struct scene *scene, int n, struct place *at)
{
    for (int i = 0; i < MAX_TRIES; i++) {
        double ratio = most_radius / least_radius;
        at->radius = scene->size * least_radius * pow(ratio, uniform(&scene->dice, 0, 1));
        at->x = uniform(&scene->dice, at->radius + 1, scene->size - at->radius - 1);
        at->y = uniform(&scene->dice, at->radius + 1, scene->size - at->radius - 1);
        if (is_free(scene, n, *at)) return true;
    }
    return false;
}

static struct colour find_colour(struct scene *scene)
{
    for (;;) {
        struct colour c;
        double gap = 0;
        for (int i = 0; i < 3; i++) {
            c.channel[i] = uniform(&scene->dice, 0, 255);
            gap += fabs(c.channel[i] - scene->background.channel[i]);
        }
        if (gap >= MIN_COLOUR_GAP) return c;
    }
}

static status add_shape(struct scene *scene, struct draw_surface *s, struct synth_picture *out)
{
    struct place at;
    if (!find_place(scene, out->n, &at)) return OK; // full: one shape fewer
    enum shape shape = (enum shape)below(&scene->dice, SYNTH_N_CLASSES);
    double turn = classes[shape].turns ? uniform(&scene->dice, 0, 2 * pi) : 0;
    fill(s->cairo, shape, at, turn, find_colour(scene));
    struct synth_shape *to = &out->shapes[out->n];
    *to = (struct synth_shape){.label = (int32_t)shape + 1};
    TRY(measure(shape, at, turn, scene->size, to));
    scene->places[out->n++] = at;
    return OK;
}

static status draw_scene(struct scene *scene, uint64_t noise_key, struct synth_picture *out)
{
    struct draw_surface s = {0};
    status st = OK;
    for (int i = 0; i < 3; i++) scene->background.channel[i] = uniform(&scene->dice, 40, 200);
    TRY_GOTO(st, image_init(scene->size, scene->size, &out->image), out);
    TRY_GOTO(st, paint_background(noise_key, scene->background, &out->image), out);
    TRY_GOTO(st, draw_surface_init(scene->size, scene->size, &s), out);
    draw_surface_put(&s, &out->image);
    image_fini(&out->image);
    int n = 1 + below(&scene->dice, SYNTH_MAX_SHAPES);
    for (int i = 0; i < n; i++) TRY_GOTO(st, add_shape(scene, &s, out), out);
    TRY_GOTO(st, draw_surface_get(&s, &out->image), out);
out:
    draw_surface_fini(&s);
    return st;
}

status synth_draw(int64_t seed, enum synth_set set, int64_t number, int32_t size,
                  struct synth_picture *out)
{
    ASSERT(size >= SYNTH_MIN_SIZE && size <= SYNTH_MAX_SIZE);
    uint64_t key = rng_key((uint64_t)seed, (uint64_t)set, (uint64_t)number, RNG_PURPOSE_SYNTH);
    struct scene scene = {.dice = {.key = key}, .size = size};
    *out = (struct synth_picture){0};
    status st = draw_scene(&scene, rng_u64(key, UINT64_MAX), out);
    if (st != OK) synth_picture_fini(out);
    return st;
}

void synth_picture_fini(struct synth_picture *picture)
{
    image_fini(&picture->image);
    picture->n = 0;
}
