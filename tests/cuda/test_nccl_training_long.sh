#!/usr/bin/env bash
# The same as test_nccl_training.sh, with what only says it once more.
export SHOAL_LONG=1
. "${SHOAL_SOURCE_DIR:?}/tests/cuda/test_nccl_training.sh"
