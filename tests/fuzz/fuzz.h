// What the fuzz targets share. A target is one file fuzz_NAME.c with LLVMFuzzerTestOneInput;
// clang's libFuzzer drives it in the tree of the preset "fuzz", replay.c over the kept inputs in
// all others. Whatever the bytes are, a target must return: an error is fine, a crash or a leak is
// a finding.
#ifndef SHOAL_TESTS_FUZZ_FUZZ_H
#define SHOAL_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

// A file in memory that holds these bytes; the same path and the same file every time.
const char *fuzz_file(const uint8_t *data, size_t n);
// Calls that may fail, and must say why.
void fuzz_expect(status st);

#endif
