// Drawing boxes. Every line lies on a darker, wider one and every text on a filled label, so that
// both can be read whatever is below.
#include "io/draw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "io/draw_internal.h"

enum {
    SMALL_SIDE = 360, // pictures whose longer side is below are enlarged
    TEXT_BYTES = 256, // of a label
    MAX_NAME_BYTES = 160,
    SMALL_FONT_PX = 10,
    TITLE_PX = 30,
    GAP_PX = 8,
};

struct colour {
    double r, g, b;
};

// Hues a golden angle apart never come close for the first few dozen labels; every second turn is
// lighter, so that neighbours on the wheel differ in two ways.
static struct colour colour_of(int32_t label)
{
    double hue = fmod(label * 0.61803398875, 1.0) * 6;
    double low = label % 3 == 0 ? 0.35 : 0.05, high = label % 2 == 0 ? 0.85 : 1.0;
    double rise = low + (high - low) * (1 - fabs(fmod(hue, 2) - 1));
    switch ((int)hue) {
    case 0:
        return (struct colour){high, rise, low};
    case 1:
        return (struct colour){rise, high, low};
    case 2:
        return (struct colour){low, high, rise};
    case 3:
        return (struct colour){low, rise, high};
    case 4:
        return (struct colour){rise, low, high};
    default:
        return (struct colour){high, low, rise};
    }
}

// Black or white, whichever stands out from c (WCAG's relative luminance, gamma taken as 2).
static double text_grey(struct colour c)
{
    return 0.2126 * c.r * c.r + 0.7152 * c.g * c.g + 0.0722 * c.b * c.b > 0.2 ? 0.0 : 1.0;
}

// ---- Boxes ------------------------------------------------------------------------------------

struct rectangle {
    double x, y, w, h;
};

struct picture {
    cairo_t *cairo;
    double scale; // output pixels an image pixel
    double h, w;  // output pixels
    double line, font;
    const struct draw_box **boxes; // in drawing order
    struct rectangle *labels;      // places of those placed so far, the last boxes first
    int n_labels;
};

static struct rectangle place_of(const struct picture *p, const struct draw_box *b)
{
    return (struct rectangle){b->x0 * p->scale, b->y0 * p->scale,
                              ((double)b->x1 - (double)b->x0) * p->scale,
                              ((double)b->y1 - (double)b->y0) * p->scale};
}

static void stroke_box(const struct picture *p, const struct draw_box *b)
{
    struct rectangle at = place_of(p, b);
    struct colour c = colour_of(b->label);
    cairo_rectangle(p->cairo, at.x, at.y, at.w, at.h);
    cairo_set_line_width(p->cairo, p->line + 2);
    cairo_set_source_rgba(p->cairo, 0, 0, 0, 0.6);
    cairo_stroke_preserve(p->cairo);
    cairo_set_line_width(p->cairo, p->line);
    cairo_set_source_rgb(p->cairo, c.r, c.g, c.b);
    cairo_stroke(p->cairo);
}

static double overlap(const struct rectangle *a, const struct rectangle *b)
{
    double w = fmin(a->x + a->w, b->x + b->w) - fmax(a->x, b->x);
    double h = fmin(a->y + a->h, b->y + b->h) - fmax(a->y, b->y);
    return w > 0 && h > 0 ? w * h : 0;
}

static double clamp(double v, double most)
{
    return v < 0 || most < 0 ? 0 : v > most ? most : v;
}

// Above the box, inside its upper edge, below it, or inside its lower edge: the first place that
// covers no other label, else the one that covers least.
static struct rectangle choose_place(const struct picture *p, struct rectangle box, double w,
                                     double h)
{
    double edge = p->line / 2;
    const double tops[4] = {box.y - h - edge, box.y + edge, box.y + box.h + edge,
                            box.y + box.h - h - edge};
    struct rectangle best = {0};
    double best_cover = INFINITY;
    for (int i = 0; i < 4 && best_cover > 0; i++) {
        if (i != 1 && (tops[i] < 0 || tops[i] + h > p->h)) continue;
        struct rectangle at = {clamp(box.x - edge, p->w - w), clamp(tops[i], p->h - h), w, h};
        double cover = 0;
        for (int k = 0; k < p->n_labels; k++) cover += overlap(&at, &p->labels[k]);
        if (cover >= best_cover) continue;
        best = at;
        best_cover = cover;
    }
    return best;
}

// Small boxes get smaller letters, down to what can still be read.
static double font_of(const struct picture *p, const struct draw_box *b)
{
    struct rectangle at = place_of(p, b);
    double fitting = round(sqrt(fmax(at.w, 0) * fmax(at.h, 0)) / 6);
    return fmin(p->font, fmax(SMALL_FONT_PX, fitting));
}

// A long name is cut between characters: UTF-8's continuation bytes are 10xxxxxx.
static void text_of(const struct draw_box *b, char text[TEXT_BYTES])
{
    size_t n = strnlen(b->name, MAX_NAME_BYTES);
    if (n == MAX_NAME_BYTES)
        while (n > 0 && (b->name[n] & 0xc0) == 0x80) n--;
    if (b->has_score)
        (void)snprintf(text, TEXT_BYTES, "%.*s %.2f", (int)n, b->name, (double)b->score);
    else
        (void)snprintf(text, TEXT_BYTES, "%.*s", (int)n, b->name);
}

static void place_label(struct picture *p, const struct draw_box *b)
{
    char text[TEXT_BYTES];
    cairo_text_extents_t extents;
    cairo_font_extents_t font;
    double size = font_of(p, b);
    text_of(b, text);
    cairo_set_font_size(p->cairo, size);
    cairo_text_extents(p->cairo, text, &extents);
    cairo_font_extents(p->cairo, &font);
    // Counted only once it has its place: before, what stands there is not set.
    struct rectangle at = choose_place(p, place_of(p, b), ceil(extents.x_advance + size / 2),
                                       ceil(font.ascent + font.descent));
    p->labels[p->n_labels++] = at;
}

static void draw_label(struct picture *p, const struct draw_box *b, struct rectangle at)
{
    char text[TEXT_BYTES];
    cairo_font_extents_t font;
    struct colour c = colour_of(b->label);
    double grey = text_grey(c), size = font_of(p, b);
    text_of(b, text);
    cairo_rectangle(p->cairo, at.x, at.y, at.w, at.h);
    cairo_set_source_rgb(p->cairo, c.r, c.g, c.b);
    cairo_fill(p->cairo);
    cairo_set_source_rgb(p->cairo, grey, grey, grey);
    cairo_set_font_size(p->cairo, size);
    cairo_font_extents(p->cairo, &font);
    cairo_move_to(p->cairo, at.x + size / 4, at.y + font.ascent);
    cairo_show_text(p->cairo, text);
}

// Low scores first, so that the sure ones end on top; equal ones as given.
static int compare_boxes(const void *a, const void *b)
{
    const struct draw_box *l = *(const struct draw_box *const *)a;
    const struct draw_box *r = *(const struct draw_box *const *)b;
    float ls = l->has_score ? l->score : 1, rs = r->has_score ? r->score : 1;
    if (ls != rs) return ls < rs ? -1 : 1;
    return l < r ? -1 : l > r;
}

static void use_font(cairo_t *cairo, double size, bool bold)
{
    cairo_select_font_face(cairo, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cairo, size);
}

// The image over the rectangle, enlarged smoothly.
static status paint_image(cairo_t *cairo, const struct image *image, struct rectangle at)
{
    struct draw_surface s;
    TRY(draw_surface_init(image->h, image->w, &s));
    draw_surface_put(&s, image);
    cairo_save(cairo);
    cairo_rectangle(cairo, at.x, at.y, at.w, at.h);
    cairo_clip(cairo);
    cairo_translate(cairo, at.x, at.y);
    cairo_scale(cairo, at.w / image->w, at.h / image->h);
    cairo_set_source_surface(cairo, s.surface, 0, 0);
    cairo_pattern_set_extend(cairo_get_source(cairo), CAIRO_EXTEND_PAD);
    cairo_pattern_set_filter(cairo_get_source(cairo), CAIRO_FILTER_GOOD);
    cairo_paint(cairo);
    cairo_restore(cairo);
    draw_surface_fini(&s);
    return OK;
}

static status draw_all(struct picture *p, const struct image *image, const struct draw_box *boxes,
                       int n)
{
    TRY(paint_image(p->cairo, image, (struct rectangle){0, 0, p->w, p->h}));
    TRY(mem_alloc(&p->boxes, (size_t)n));
    TRY(mem_alloc(&p->labels, (size_t)n));
    for (int i = 0; i < n; i++) p->boxes[i] = &boxes[i];
    qsort(p->boxes, (size_t)n, sizeof(const struct draw_box *), compare_boxes);
    use_font(p->cairo, p->font, false);
    for (int i = 0; i < n; i++) stroke_box(p, p->boxes[i]);
    // The sure ones choose their labels' places first, and lie on top.
    for (int i = n - 1; i >= 0; i--)
        if (p->boxes[i]->name != NULL) place_label(p, p->boxes[i]);
    for (int i = 0, left = p->n_labels; i < n; i++)
        if (p->boxes[i]->name != NULL) draw_label(p, p->boxes[i], p->labels[--left]);
    return OK;
}

status draw_boxes(const struct image *image, const struct draw_box *boxes, int n, struct image *out)
{
    int32_t longer = image->h > image->w ? image->h : image->w;
    int32_t scale = longer < SMALL_SIDE ? (SMALL_SIDE + longer - 1) / longer : 1;
    double size = sqrt((double)image->h * image->w) * scale;
    struct draw_surface s;
    *out = (struct image){0};
    TRY(draw_surface_init(image->h * scale, image->w * scale, &s));
    struct picture p = {.cairo = s.cairo,
                        .scale = scale,
                        .h = image->h * scale,
                        .w = image->w * scale,
                        .line = fmax(2, round(size / 250)),
                        .font = fmax(11, round(size / 42))};
    status st = draw_all(&p, image, boxes, n);
    mem_free(p.labels);
    mem_free(p.boxes);
    if (st == OK) st = draw_surface_get(&s, out);
    draw_surface_fini(&s);
    return st;
}

// ---- Side by side -----------------------------------------------------------------------------

struct grid {
    int n_rows, n_columns;
    double cell_h, cell_w, top; // top: height of the titles' row
};

static void draw_title(cairo_t *cairo, const struct grid *grid, int column, const char *title)
{
    cairo_text_extents_t extents;
    use_font(cairo, TITLE_PX * 0.55, true);
    cairo_text_extents(cairo, title, &extents);
    double middle = GAP_PX + column * (grid->cell_w + GAP_PX) + grid->cell_w / 2;
    cairo_set_source_rgb(cairo, 0.1, 0.1, 0.1);
    cairo_move_to(cairo, middle - extents.x_advance / 2, TITLE_PX * 0.8);
    cairo_show_text(cairo, title);
}

static status draw_cells(cairo_t *cairo, const struct grid *grid, const struct image *images,
                         const char *const *titles)
{
    cairo_set_source_rgb(cairo, 1, 1, 1);
    cairo_paint(cairo);
    for (int c = 0; titles != NULL && c < grid->n_columns; c++)
        draw_title(cairo, grid, c, titles[c]);
    for (int i = 0; i < grid->n_rows * grid->n_columns; i++) {
        const struct image *image = &images[i];
        int row = i / grid->n_columns, column = i % grid->n_columns;
        double scale = fmin(grid->cell_h / image->h, grid->cell_w / image->w);
        double h = image->h * scale, w = image->w * scale;
        struct rectangle at = {GAP_PX + column * (grid->cell_w + GAP_PX) + (grid->cell_w - w) / 2,
                               grid->top + row * (grid->cell_h + GAP_PX) + (grid->cell_h - h) / 2,
                               w, h};
        TRY(paint_image(cairo, image, at));
    }
    return OK;
}

status draw_grid(const struct image *images, int n_rows, int n_columns, const char *const *titles,
                 struct image *out)
{
    ASSERT(n_rows >= 1 && n_columns >= 1);
    struct grid grid = {.n_rows = n_rows, .n_columns = n_columns};
    grid.top = titles != NULL ? TITLE_PX : GAP_PX;
    *out = (struct image){0};
    for (int i = 0; i < n_rows * n_columns; i++) {
        grid.cell_h = fmax(grid.cell_h, images[i].h);
        grid.cell_w = fmax(grid.cell_w, images[i].w);
    }
    double h = grid.top + n_rows * (grid.cell_h + GAP_PX);
    double w = GAP_PX + n_columns * (grid.cell_w + GAP_PX);
    struct draw_surface s;
    REQUIRE(h < INT32_MAX && w < INT32_MAX, E_UNSUPPORTED, "drawing: a grid of %g x %g pixels", h,
            w);
    TRY(draw_surface_init((int32_t)h, (int32_t)w, &s));
    status st = draw_cells(s.cairo, &grid, images, titles);
    if (st == OK) st = draw_surface_get(&s, out);
    draw_surface_fini(&s);
    return st;
}
