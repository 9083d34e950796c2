#!/usr/bin/env bash
# The same as test_mem_faults.sh, with every allocation of a run refused in turn.
export ALL=1
. "${SHOAL_SOURCE_DIR:?}/tests/train/test_mem_faults.sh"
