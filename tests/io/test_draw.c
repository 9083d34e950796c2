// Drawing: what must be seen, and what must stay as it was.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/draw.h"
#include "io/jpeg.h"
#include "support/test.h"

static struct image grey_image(int32_t h, int32_t w, unsigned char value)
{
    struct image image;
    EXPECT_OK(image_init(h, w, &image));
    memset(image.pixels, value, (size_t)h * (size_t)w * 3);
    return image;
}

static const unsigned char *pixel(const struct image *image, int32_t y, int32_t x)
{
    return image->pixels + ((size_t)y * (size_t)image->w + (size_t)x) * 3;
}

static bool same(const unsigned char *a, const unsigned char *b)
{
    return memcmp(a, b, 3) == 0;
}

TEST(a_box_is_drawn_on_its_edge_in_its_categorys_colour_and_nowhere_else)
{
    struct image image = grey_image(400, 600, 77), out;
    const struct draw_box boxes[] = {{.x0 = 50, .y0 = 100, .x1 = 200, .y1 = 300, .label = 3},
                                     {.x0 = 300, .y0 = 100, .x1 = 400, .y1 = 300, .label = 3},
                                     {.x0 = 450, .y0 = 100, .x1 = 550, .y1 = 300, .label = 4}};
    EXPECT_OK(draw_boxes(&image, boxes, 3, &out));
    EXPECT(out.h == 400 && out.w == 600);
    EXPECT(same(pixel(&out, 200, 50), pixel(&out, 200, 300)));
    EXPECT(same(pixel(&out, 200, 50), pixel(&out, 100, 350)));
    EXPECT(!same(pixel(&out, 200, 50), pixel(&out, 200, 450)));
    EXPECT(!same(pixel(&out, 200, 50), pixel(&image, 200, 50)));
    for (int32_t y = 0; y < 400; y++) {
        for (int32_t x = 0; x < 600; x++) {
            bool is_near = false;
            for (int i = 0; i < 3; i++) {
                const struct draw_box *b = &boxes[i];
                float dx = fmaxf(b->x0 - (float)x, (float)x - b->x1);
                float dy = fmaxf(b->y0 - (float)y, (float)y - b->y1);
                is_near = is_near || fabsf(fmaxf(dx, dy)) < 5;
            }
            if (!is_near && !same(pixel(&out, y, x), pixel(&image, y, x)))
                test_fail(__FILE__, __LINE__, "pixel %d, %d is touched", y, x);
        }
    }
    image_fini(&out);
    image_fini(&image);
}

// WCAG 2: relative luminance of sRGB.
static double luminance(const unsigned char *p)
{
    double linear[3];
    for (int c = 0; c < 3; c++) {
        double v = p[c] / 255.0;
        linear[c] = v <= 0.03928 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
    }
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

TEST(text_stands_out_from_its_label_for_every_category)
{
    for (int label = 1; label <= 90; label++) {
        struct image image = grey_image(400, 400, 128), out;
        struct draw_box box = {.x0 = 50, .y0 = 100, .x1 = 350, .y1 = 300, .label = label};
        box.name = "HHHHHHHH";
        EXPECT_OK(draw_boxes(&image, &box, 1, &out));
        double fill = luminance(pixel(&out, 98, 55)); // the label's lower left corner
        double strongest = 1;
        for (int32_t y = 84; y < 98; y++) {
            for (int32_t x = 52; x < 120; x++) {
                double text = luminance(pixel(&out, y, x));
                double ratio = (fmax(text, fill) + 0.05) / (fmin(text, fill) + 0.05);
                strongest = fmax(strongest, ratio);
            }
        }
        if (strongest < 4.5) // WCAG's AA
            test_fail(__FILE__, __LINE__, "label %d: contrast %.2f", label, strongest);
        image_fini(&out);
        image_fini(&image);
    }
}

TEST(small_pictures_are_enlarged_and_boxes_with_them)
{
    struct image image = grey_image(128, 128, 10), out;
    struct draw_box box = {.x0 = 32, .y0 = 32, .x1 = 96, .y1 = 96, .label = 1};
    EXPECT_OK(draw_boxes(&image, &box, 1, &out));
    EXPECT(out.h == 384 && out.w == 384);
    EXPECT(!same(pixel(&out, 192, 96), pixel(&image, 0, 0)));
    EXPECT(same(pixel(&out, 192, 192), pixel(&image, 0, 0)));
    image_fini(&out);
    image_fini(&image);
}

TEST(odd_boxes_and_names_draw_without_harm)
{
    struct image image = grey_image(30, 900, 10), out;
    char longest[600], wide[600] = "a";
    for (size_t i = 1; i + 2 < sizeof wide; i += 2) memcpy(wide + i, "\u00e9", 3);
    memset(longest, 'm', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    const struct draw_box boxes[] = {
        {.x0 = -1e9f, .y0 = -5, .x1 = 1e9f, .y1 = 1e9f, .name = "beyond", .has_score = true},
        {.x0 = 5, .y0 = 5, .x1 = 5, .y1 = 5, .name = "point", .label = 1},
        {.x0 = 5, .y0 = 5, .x1 = 2, .y1 = 1, .name = "inside out", .label = -7},
        {.x0 = 800, .y0 = 20, .x1 = 899, .y1 = 29, .name = "\u4eba \u00e9 \U0001f600", .label = 2},
        {.x0 = 0, .y0 = 0, .x1 = 9, .y1 = 9, .name = longest, .label = 3},
        {.x0 = 0, .y0 = 0, .x1 = 9, .y1 = 9, .name = wide, .label = 3},
        {.x0 = 0, .y0 = 0, .x1 = 9, .y1 = 9, .name = "", .label = INT32_MAX},
        {.x0 = NAN,
         .y0 = NAN,
         .x1 = NAN,
         .y1 = NAN,
         .name = "nan",
         .score = NAN,
         .has_score = true},
    };
    for (size_t i = 0; i <= COUNT(boxes); i++) {
        const struct draw_box *from = i < COUNT(boxes) ? &boxes[i] : boxes;
        status st = draw_boxes(&image, from, i < COUNT(boxes) ? 1 : (int)COUNT(boxes), &out);
        EXPECT_OK(st);
        if (st == OK) EXPECT(out.h == 30 && out.w == 900);
        image_fini(&out);
    }
    struct draw_box bad = {.x0 = 5, .y0 = 5, .x1 = 20, .y1 = 20, .name = "\xff\xfe"};
    EXPECT_STATUS(draw_boxes(&image, &bad, 1, &out), E_FORMAT);
    EXPECT_HAS(error_text(), "a name is no UTF-8");
    EXPECT(out.pixels == NULL);
    image_fini(&image);
}

TEST(a_side_beyond_cairos_limit_is_refused)
{
    struct image image = grey_image(1, 32768, 10), out;
    EXPECT_STATUS(draw_boxes(&image, NULL, 0, &out), E_UNSUPPORTED);
    EXPECT_HAS(error_text(), "1 x 32768 pixels");
    image_fini(&image);
}

TEST(a_grid_keeps_pictures_whole_under_their_titles)
{
    struct image images[4] = {grey_image(40, 60, 10), grey_image(40, 60, 90),
                              grey_image(20, 30, 170), grey_image(40, 60, 250)};
    const char *titles[2] = {"before", "after"};
    struct image out;
    EXPECT_OK(draw_grid(images, 2, 2, titles, &out));
    EXPECT(out.h == 30 + 2 * 48 && out.w == 8 + 2 * 68);
    EXPECT_EQ(*pixel(&out, 30 + 20, 8 + 30), 10);
    EXPECT_EQ(*pixel(&out, 30 + 20, 8 + 68 + 30), 90);
    EXPECT_EQ(*pixel(&out, 30 + 48 + 2, 8 + 2), 170); // fills its cell
    EXPECT_EQ(*pixel(&out, 30 + 48 + 20, 8 + 68 + 30), 250);
    bool has_title = false;
    for (int32_t x = 0; x < 68; x++) has_title = has_title || *pixel(&out, 20, x) < 100;
    EXPECT(has_title);
    EXPECT_EQ(*pixel(&out, out.h - 1, 0), 255);
    image_fini(&out);
    EXPECT_OK(draw_grid(images, 1, 1, NULL, &out));
    EXPECT(out.h == 8 + 48 && out.w == 8 + 68);
    image_fini(&out);
    for (int i = 0; i < 4; i++) image_fini(&images[i]);
}

TEST(pictures_are_written_by_the_paths_end_and_whole)
{
    struct image image = grey_image(12, 34, 100), back;
    char path[256], *data = NULL;
    size_t n = 0;
    snprintf(path, sizeof path, "%s/a.PNG", test_folder());
    EXPECT_OK(draw_write(&image, path));
    EXPECT_OK(file_read(path, &data, &n));
    EXPECT(n > 24 && memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0);
    EXPECT(data[19] == 34 && data[23] == 12); // IHDR: width, height, big-endian
    mem_free(data);
    snprintf(path, sizeof path, "%s/a.jpg", test_folder());
    EXPECT_OK(draw_write(&image, path));
    EXPECT_OK(file_read(path, &data, &n));
    EXPECT_OK(jpeg_decode((unsigned char *)data, n, &back));
    EXPECT(back.h == 12 && back.w == 34 && *pixel(&back, 5, 5) == 100);
    mem_free(data);
    EXPECT_STATUS(draw_write(&image, "x.gif"), E_ARG);
    EXPECT_STATUS(draw_write(&image, "/nonexistent/x.png"), E_IO);
    EXPECT_STATUS(draw_write(&image, "/nonexistent/x.jpg"), E_IO);
    image_fini(&back);
    image_fini(&image);
}

TEST(every_allocation_that_fails_is_reported_and_leaks_nothing)
{
    struct image image = grey_image(40, 40, 10), out;
    struct draw_box box = {.x0 = 5, .y0 = 5, .x1 = 20, .y1 = 20, .name = "a"};
    int fail_at = 0;
    for (status st = E_NOMEM; st == E_NOMEM;) {
        mem_fail_at(++fail_at);
        st = draw_boxes(&image, &box, 1, &out);
        mem_fail_at(0);
        EXPECT(st == OK || (st == E_NOMEM && out.pixels == NULL));
    }
    EXPECT_EQ(fail_at, 4);
    image_fini(&out);
    image_fini(&image);
}

TEST_MAIN()
