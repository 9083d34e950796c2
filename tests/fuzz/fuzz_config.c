// Configs as YAML, and the same text as an override. What is read is dumped and read back the same.
#include "core/config.h"
#include "core/mem.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check_dump(const struct config *c)
{
    struct config *again = NULL;
    char *yaml = NULL;
    uint64_t before, after;
    if (mem_alloc(&again, 1) != OK || config_dump(c, &yaml) != OK) abort();
    if (config_parse(yaml, "the dump", again) != OK) abort();
    ASSERT(config_hash(c, &before) == OK && config_hash(again, &after) == OK && before == after);
    mem_free(yaml);
    mem_free(again);
}

// Others are refused as unknown keys, slowly: the nearest known one is looked for.
static bool is_like_an_override(const char *text)
{
    return strcspn(text, "=") < 40;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct config *c = NULL;
    char *text = NULL;
    if (mem_alloc(&c, 1) != OK || mem_alloc(&text, n + 1) != OK) abort();
    memcpy(text, data, n);
    text[n] = '\0';
    status st = config_parse(text, "input", c);
    fuzz_expect(st);
    if (st == OK) check_dump(c);
    if (is_like_an_override(text)) {
        st = config_load(NULL, 1, &text, c);
        fuzz_expect(st);
        if (st == OK) check_dump(c);
    }
    st = config_load(fuzz_file(data, n), 0, NULL, c); // the file may hold NULs
    fuzz_expect(st);
    mem_free(text);
    mem_free(c);
    return 0;
}
