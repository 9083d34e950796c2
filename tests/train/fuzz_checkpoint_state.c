// state.json, as it comes and with its own checksum put right.
#include "core/mem.h"
#include "fuzz/fuzz.h"
#include "train/checkpoint_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

static void read_state(const uint8_t *data, size_t n)
{
    struct checkpoint_state s;
    struct checkpoint_sums sums;
    status st = checkpoint_parse_state(fuzz_file(data, n), &s, &sums);
    fuzz_expect(st);
    if (st == OK) ASSERT(s.config_yaml != NULL && strlen(sums.model) < sizeof sums.model);
    checkpoint_state_fini(&s);
}

// The last 32 characters in quotes are the sum of the text with zeros in their place.
static bool mend(uint8_t *text, size_t n)
{
    const size_t length = CHECKPOINT_SUM_BYTES - 1;
    size_t end = n;
    while (end > length + 1 && text[end - 1] != '"') end--;
    if (end <= length + 1) return false;
    uint8_t *place = text + end - 1 - length;
    char sum[CHECKPOINT_SUM_BYTES];
    memset(place, '0', length);
    XXH128_hash_t h = XXH3_128bits(text, n);
    (void)snprintf(sum, sizeof sum, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64,
                   (uint64_t)h.low64);
    memcpy(place, sum, length);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint8_t *copy = NULL;
    read_state(data, n);
    if (mem_alloc(&copy, n) != OK) return 0;
    memcpy(copy, data, n);
    if (mend(copy, n)) read_state(copy, n);
    mem_free(copy);
    return 0;
}
