#!/usr/bin/env bash
# The same as test_io_faults.sh, at every call.
export PASSES=16
. "${SHOAL_SOURCE_DIR:?}/tests/train/test_io_faults.sh"
