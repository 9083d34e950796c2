// Shapes as text and numbers.
#include "support/test.h"
#include "tensor/tensor.h"

TEST(shapes_count_their_elements)
{
    struct shape s = shape_4(2, 3, 5, 7), empty = shape_4(0, 7, 7, 256), scalar = {0};
    EXPECT_EQ(shape_elements(&s), 210);
    EXPECT_EQ(shape_elements(&empty), 0);
    EXPECT_EQ(shape_elements(&scalar), 1);
}

TEST(shapes_are_equal_by_dimensions_alone)
{
    struct shape a = shape_2(3, 4), b = shape_2(3, 4), c = shape_2(4, 3), d = shape_1(3);
    a.dim[2] = 9; // beyond n_dims
    EXPECT(shape_equal(&a, &b));
    EXPECT(!shape_equal(&b, &c));
    EXPECT(!shape_equal(&b, &d));
}

TEST(shapes_read_as_python_writes_them)
{
    char text[TENSOR_SHAPE_TEXT];
    struct shape a = shape_4(1, 800, 1344, 3), b = shape_1(5), scalar = {0};
    EXPECT_STR(shape_text(&a, text), "(1, 800, 1344, 3)");
    EXPECT_STR(shape_text(&b, text), "(5)");
    EXPECT_STR(shape_text(&scalar, text), "()");
}

TEST(a_shape_of_huge_numbers_is_cut_but_ends)
{
    char text[TENSOR_SHAPE_TEXT];
    struct shape s = {5, {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}};
    EXPECT_HAS(shape_text(&s, text), "(9223372036854775807, 9223372036854775807");
}

TEST(tensors_know_their_bytes)
{
    struct tensor t = {.dtype = DTYPE_BF16, .shape = shape_2(3, 5)};
    EXPECT_EQ(tensor_bytes(&t), 30);
    t.dtype = DTYPE_F32;
    EXPECT_EQ(tensor_bytes(&t), 60);
    t.dtype = DTYPE_U8;
    EXPECT_EQ(tensor_bytes(&t), 15);
}

TEST_MAIN()
