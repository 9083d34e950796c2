#!/usr/bin/env bash
# The n-th allocation fails, for n = 1, 2, ... at growing distances until the command comes through:
# one line, exit 1, nothing left behind (and under a sanitizer no leak). See support/bad_input.sh.
set -uo pipefail
# shellcheck source=tests/support/bad_input.sh
. "${SHOAL_SOURCE_DIR:?}/tests/support/bad_input.sh"

# faults SLOWNESS COMMAND...: n grows by one SLOWNESS-th of itself.
faults() {
  local slowness=$1 n=1
  shift
  while :; do
    survives env SHOAL_MEM_FAIL_AT=$n "$@"
    if [ "$code" -eq 0 ]; then break; fi
    if [ "$code" -ne 1 ] || ! grep -qa 'out of memory' ../err; then complain "allocation $n"; fi
    n=$((n + 1 + n / slowness))
  done
  rm -rf out out.json
}

make_set
echo '[{"image_id":1,"category_id":1,"bbox":[1,2,10,12],"score":0.5}]' >results.json
faults 4 "$shoal" pack coco --annotations synth/annotations/instances_train.json \
  --images synth/train --out out/x --shards 2 --jobs 2
faults 4 "$shoal" verify set/train --jobs 2
faults 4 "$shoal" score --annotations synth/annotations/instances_train.json \
  --results results.json --json out.json

# Training: before the first step and in it a refusal ends the run; a checkpoint that finds no memory
# is told and costs nothing but itself. Where there was one, it stands, and the run goes on from it.
make_resumable() {
  survives "$shoal" train tiny.yaml train.max_steps=2 checkpoint.every_steps=1
  [ "$code" -eq 0 ] || complain "no run to go on from"
  mv run resumable
}
# train_faults: n grows by a quarter of itself, or one by one with ALL set.
train_faults() {
  local n=1
  while :; do
    rm -rf run
    cp -r resumable run
    code=0
    command="train with allocation $n refused"
    SHOAL_MEM_FAIL_AT=$n timeout 300 "$shoal" train tiny.yaml train.max_steps=4 \
      checkpoint.every_steps=1 --resume auto >../out 2>../err || code=$?
    n_run=$((n_run + 1))
    if [ "$code" -gt 1 ] || grep -qav '^shoal: ' ../err; then
      complain "died"
    elif [ "$code" -eq 1 ] && [ "$(grep -ac '^shoal: error: .*out of memory' ../err)" -ne 1 ]; then
      complain "not one line of error"
    elif [ "$code" -eq 0 ] && ! grep -qa 'out of memory' ../err; then
      break # it asked for fewer
    fi
    compgen -G 'run/checkpoints/*.tmp-*' >/dev/null && complain "a temporary is left"
    [ -e run/checkpoints/step-00000002/state.json ] || [ -e run/checkpoints/step-00000004/state.json ] ||
      complain "no checkpoint stands"
    if [ "$((n_run % 4))" -eq 0 ]; then # each resume takes as long as the run
      survives "$shoal" train tiny.yaml train.max_steps=4 checkpoint.every_steps=1 --resume auto
      if [ "$code" -ne 0 ] || grep -qa 'refused' ../err; then complain "the resume"; fi
    fi
    if [ -n "${ALL:-}" ]; then n=$((n + 1)); else n=$((n + 1 + n / 4)); fi
  done
  echo "a run asks $n times at most for memory"
}
make_resumable
train_faults
report
