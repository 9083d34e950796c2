#!/usr/bin/env bash
# The same as test_train_kill.sh, with a hundred kills.
export N_KILLS=100 SEED=7
. "${SHOAL_SOURCE_DIR:?}/tests/train/test_train_kill.sh"
