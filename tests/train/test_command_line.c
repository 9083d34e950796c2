// Options from a table, and what a status means to the launcher.
#include "train/command_line.h"

#include "support/test.h"
#include "train/command.h"

static bool flag;
static const char *text;
static int64_t integer;
static double number;

static const struct command_line_option options[] = {
    {"flag", COMMAND_LINE_FLAG, &flag, NULL, "a flag", 0, 0, false},
    {"text", COMMAND_LINE_TEXT, &text, "T", "a text", 0, 0, true},
    {"integer", COMMAND_LINE_INTEGER, &integer, "N", "1 to 9", 1, 9, false},
    {"number", COMMAND_LINE_NUMBER, &number, "X", "0 to 1", 0, 1, false},
};

enum { MOST_WORDS = 8 };

// argv is copied to where *words may point after the call.
static status parse(char **argv, int *n_words, char ***words)
{
    static char *kept[MOST_WORDS + 1];
    const struct command_line line = {"shoal x --text T A", "About.", options,
                                      COUNT(options),       1,        2};
    int argc = 0;
    for (; argv[argc] != NULL; argc++) kept[argc] = argv[argc];
    kept[argc] = NULL;
    bool is_help;
    flag = false, text = NULL, integer = 5, number = 0.5;
    return command_line_parse(&line, argc, kept, n_words, words, &is_help);
}

#define PARSE(...) parse((char *[]){"x", __VA_ARGS__, NULL}, &n, &words)

TEST(options_and_words_may_stand_in_any_order)
{
    int n = 0;
    char **words = NULL;
    EXPECT_OK(PARSE("a", "--text", "t", "b", "--integer=7", "--flag"));
    EXPECT_EQ(n, 2);
    EXPECT_STR(words[0], "a");
    EXPECT_STR(words[1], "b");
    EXPECT(flag && integer == 7 && number == 0.5);
    EXPECT_STR(text, "t");
    EXPECT_OK(PARSE("--text", "t", "--", "--flag"));
    EXPECT(!flag);
    EXPECT_STR(words[0], "--flag");
}

TEST(what_is_wrong_on_the_command_line_is_usage)
{
    int n;
    char **words;
    EXPECT_STATUS(PARSE("a"), E_ARG);
    EXPECT_STR(error_text(), "--text T is missing; usage: shoal x --text T A");
    EXPECT_STATUS(PARSE("--text", "t"), E_ARG);
    EXPECT_HAS(error_text(), "an argument is missing");
    EXPECT_STATUS(PARSE("--text", "t", "a", "b", "c"), E_ARG);
    EXPECT_HAS(error_text(), "too many arguments");
    EXPECT_STATUS(PARSE("a", "--text"), E_ARG);
    EXPECT_HAS(error_text(), "--text wants a value");
    EXPECT_STATUS(PARSE("a", "--tex", "t", "--what"), E_ARG);
    EXPECT_HAS(error_text(), "--what is no option");
    EXPECT_STATUS(PARSE("a", "--text", "t", "--integer", "10"), E_ARG);
    EXPECT_STR(error_text(), "--integer 10: want 1 to 9");
    EXPECT_STATUS(PARSE("a", "--text", "t", "--integer", "2x"), E_ARG);
    EXPECT_HAS(error_text(), "want an integer");
    EXPECT_STATUS(PARSE("a", "--text", "t", "--number", "nan"), E_ARG);
    EXPECT_STATUS(PARSE("a", "--text", "t", "--number", ""), E_ARG);
}

TEST(a_status_becomes_the_documented_exit_code)
{
    EXPECT_EQ(command_exit_code(OK), 0);
    EXPECT_EQ(command_exit_code(E_IO), 1);
    EXPECT_EQ(command_exit_code(E_NOMEM), 1);
    EXPECT_EQ(command_exit_code(E_ARG), 2);
    EXPECT_EQ(command_exit_code(E_SAVED), 7);
    EXPECT_EQ(command_exit_code(E_COMM), 75);
}

TEST(an_unknown_command_is_usage)
{
    EXPECT_EQ(command_main(2, (char *[]){"shoal", "swim", NULL}), 2);
    EXPECT_HAS(error_text(), "no command \"swim\"");
    EXPECT_EQ(command_main(1, (char *[]){"shoal", NULL}), 2);
    EXPECT_EQ(command_main(2, (char *[]){"shoal", "--help", NULL}), 0);
}

TEST_MAIN()
