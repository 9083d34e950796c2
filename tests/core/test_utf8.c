// Where characters end, and what is none.
#include "core/utf8.h"

#include <string.h>

#include "support/test.h"

TEST(a_character_has_the_length_that_its_first_byte_says)
{
    EXPECT_EQ(utf8_length("a", 1), 1);
    EXPECT_EQ(utf8_length("", 1), 1); // a NUL is a character
    EXPECT_EQ(utf8_length("\u00e9x", 3), 2);
    EXPECT_EQ(utf8_length("\u20acx", 4), 3);
    EXPECT_EQ(utf8_length("\U0001f41fx", 5), 4);
    EXPECT_EQ(utf8_length("\xf4\x8f\xbf\xbf", 4), 4); // the last, U+10FFFF
}

TEST(what_is_no_utf8_has_length_zero)
{
    static const char *const bad[] = {
        "\x80",             // nothing that it could continue
        "\xa6",             //
        "\xc3",             // cut short
        "\xe2\x82",         //
        "\xf0\x9f\x90",     //
        "\xc3(",            // not continued
        "\xe2\x82(",        //
        "\xc0\x80",         // longer than it need be
        "\xe0\x80\x80",     //
        "\xe0\x9f\xbf",     //
        "\xf0\x8f\xbf\xbf", //
        "\xed\xa0\x80",     // surrogates
        "\xed\xbf\xbf",     //
        "\xf4\x90\x80\x80", // beyond the last
        "\xf8\x88\x80\x80\x80",
        "\xff",
    };
    for (size_t i = 0; i < COUNT(bad); i++) EXPECT_EQ(utf8_length(bad[i], strlen(bad[i])), 0);
}

TEST_MAIN()
