#!/usr/bin/env bash
# The same as test_mem_faults.sh, with every allocation refused in turn.
export PASSES=16
. "${SHOAL_SOURCE_DIR:?}/tests/train/test_mem_faults.sh"
