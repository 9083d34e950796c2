// Weights files, as they come and with the header's length put right.
#include "core/mem.h"
#include "fuzz/fuzz.h"
#include "io/safetensors.h"

#include <string.h>

static void read_all(const char *path)
{
    struct safetensors *file = NULL;
    status st = safetensors_open(path, &file);
    fuzz_expect(st);
    if (st != OK) return;
    for (int i = 0; i < safetensors_n(file); i++) {
        const struct safetensors_entry *e = safetensors_at(file, i);
        float *values = NULL;
        ASSERT(safetensors_find(file, e->name) == e);
        if (mem_alloc(&values, e->n) == OK) fuzz_expect(safetensors_to_float(e, values));
        mem_free(values);
    }
    (void)safetensors_metadata(file, "format");
    safetensors_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    read_all(fuzz_file(data, n));
    size_t end = n; // the header ends behind the last bracket
    while (end > 8 && data[end - 1] != '}') end--;
    uint8_t *copy = NULL;
    if (end <= 8 || mem_alloc(&copy, n) != OK) return 0;
    memcpy(copy, data, n);
    for (int i = 0; i < 8; i++) copy[i] = (uint8_t)((end - 8) >> (8 * i));
    read_all(fuzz_file(copy, n));
    mem_free(copy);
    return 0;
}
