// Cell anchors: torchvision's own, to the last digit.
#include "model/anchors.h"

#include <math.h>
#include <string.h>

#include "support/test.h"

static struct config_rpn made(int n_sizes, const double *sizes, int n_ratios, const double *ratios)
{
    struct config_rpn c = {.anchor_sizes.n = n_sizes, .aspect_ratios.n = n_ratios};
    memcpy(c.anchor_sizes.value, sizes, (size_t)n_sizes * sizeof *sizes);
    memcpy(c.aspect_ratios.value, ratios, (size_t)n_ratios * sizeof *ratios);
    return c;
}

static const double sizes[5] = {32, 64, 128, 256, 512}, ratios[3] = {0.5, 1, 2};

TEST(anchors_of_the_default_sizes_are_torchvisions)
{
    // AnchorGenerator.generate_anchors of torchvision 0.29: right and lower edge of each.
    const float want[15][2] = {{23, 11},   {16, 16},  {11, 23},   {45, 23},   {32, 32},
                               {23, 45},   {91, 45},  {64, 64},   {45, 91},   {181, 91},
                               {128, 128}, {91, 181}, {362, 181}, {256, 256}, {181, 362}};
    struct config_rpn c = made(5, sizes, 3, ratios);
    float cell[15][4];
    EXPECT_EQ(anchors_per_cell(&c), 3);
    EXPECT_OK(anchors_at_cells(&c, cell));
    for (int i = 0; i < 15; i++) {
        EXPECT(cell[i][2] == want[i][0] && cell[i][3] == want[i][1]);
        EXPECT(cell[i][0] == -want[i][0] && cell[i][1] == -want[i][1]);
    }
}

TEST(halves_are_rounded_to_even)
{
    struct config_rpn c = made(4, (const double[]){5, 7, 1, 3}, 1, (const double[]){1});
    float cell[4][4];
    EXPECT_OK(anchors_at_cells(&c, cell)); // 2.5, 3.5, 0.5, 1.5
    EXPECT(cell[0][2] == 2 && cell[1][2] == 4 && cell[2][2] == 0 && cell[3][2] == 2);
    EXPECT(cell[0][0] == -2 && cell[1][1] == -4);
}

TEST(sizes_and_ratios_must_be_positive)
{
    struct config_rpn c = made(1, (const double[]){0}, 1, (const double[]){1});
    float cell[1][4];
    EXPECT_STATUS(anchors_at_cells(&c, cell), E_ARG);
    EXPECT_HAS(error_text(), "anchor_sizes");
    c = made(1, sizes, 1, (const double[]){-1});
    EXPECT_STATUS(anchors_at_cells(&c, cell), E_ARG);
    EXPECT_HAS(error_text(), "aspect_ratios");
    c = made(1, (const double[]){NAN}, 1, ratios);
    EXPECT_STATUS(anchors_at_cells(&c, cell), E_ARG);
}

TEST(strides_are_canvas_over_grid_in_integers)
{
    struct grid p6 = {.n = 1, .h = 13, .w = 21};
    EXPECT_OK(anchors_set_strides(800, 1344, &p6));
    EXPECT_EQ(p6.stride_y, 61);
    EXPECT_EQ(p6.stride_x, 64);
    struct grid none = {.n = 1, .h = 0, .w = 4}, fine = {.n = 1, .h = 4, .w = 40};
    EXPECT_STATUS(anchors_set_strides(32, 32, &none), E_SHAPE);
    EXPECT_STATUS(anchors_set_strides(32, 32, &fine), E_SHAPE);
}

TEST_MAIN()
