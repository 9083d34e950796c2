#!/usr/bin/env bash
# The n-th allocation fails, for n = 1, 2, ... at growing distances until the command comes through:
# one line, exit 1, nothing left behind (and under a sanitizer no leak). See support/bad_input.sh.
set -uo pipefail
# shellcheck source=tests/support/bad_input.sh
. "${SHOAL_SOURCE_DIR:?}/tests/support/bad_input.sh"

# The next n: a quarter of itself on, or all of itself where a run takes the thread sanitizer's seconds.
# With PASSES set every n comes, in that many rounds, so that what is cut short has been everywhere:
# round r takes r, r + PASSES, ...
passes=${PASSES:-0}
grows=$((${SHOAL_SLOWNESS:-1} > 5 ? 1 : 4))
next() { echo $((passes > 0 ? $1 + passes : $1 + 1 + $1 / grows)); }
each_pass() {
  local pass
  for ((pass = 1; pass <= (passes > 0 ? passes : 1); pass++)); do "$@" $pass; done
}

# faults COMMAND... FIRST
faults() {
  local n=${*: -1}
  set -- "${@:1:$#-1}"
  while :; do
    survives env SHOAL_MEM_FAIL_AT="$n" "$@"
    if grep -qa 'was not asked for' ../err; then break; fi
    if [ "$code" -ne 1 ] || ! grep -qa 'out of memory' ../err; then complain "allocation $n"; fi
    n=$(next "$n")
  done
  [ "$code" -eq 0 ] || complain "no end"
  rm -rf out out.json
}

make_set
echo '[{"image_id":1,"category_id":1,"bbox":[1,2,10,12],"score":0.5}]' >results.json
each_pass faults "$shoal" pack coco --annotations synth/annotations/instances_train.json \
  --images synth/train --out out/x --shards 2 --jobs 2
each_pass faults "$shoal" verify set/train --jobs 2
each_pass faults "$shoal" score --annotations synth/annotations/instances_train.json \
  --results results.json --json out.json

# Training: before the first step and in it a refusal ends the run; a checkpoint that finds no memory
# is told and costs nothing but itself. Where there was one, it stands, and the run goes on from it.
train=("$shoal" train tiny.yaml checkpoint.every_steps=1)
make_resumable() {
  if [ "$passes" -gt 0 ]; then # the body's weights stay as they are: a step costs little
    survives "$shoal" train tiny.yaml model.norm=bn train.out_dir=init
    train+=(model.norm=frozen_bn model.trainable_stages=0
      train.init="$PWD/init/checkpoints/latest/model.safetensors")
  fi
  survives "${train[@]}" train.max_steps=2
  [ "$code" -eq 0 ] || complain "no run to go on from"
  mv run resumable
  train+=(train.max_steps=4 --resume auto)
  begin
  survives "${train[@]}"
  [ "$code" -eq 0 ] || complain "the run left alone"
  mv run alone
}
# Where the checkpoints are only links: their files are never written to again.
begin() {
  rm -rf run
  cp -al resumable run
  cp --remove-destination resumable/*.json* run
}
losses_of() { sed -E 's/, ?"(images_per_s|data_wait_s|compute_s|comm_exposed_s|step_s|rss_mib)": ?[^,}]*//g' "$1/metrics.jsonl"; }
# train_faults FIRST
train_faults() {
  local n=$1
  while :; do
    begin
    code=0
    command="train with allocation $n refused"
    SHOAL_MEM_FAIL_AT=$n timeout 300 "${train[@]}" >../out 2>../err || code=$?
    n_run=$((n_run + 1))
    if [ "$code" -gt 1 ] || grep -qav '^shoal: ' ../err; then
      complain "died"
    elif [ "$code" -eq 1 ] && [ "$(grep -ac '^shoal: error: .*out of memory' ../err)" -ne 1 ]; then
      complain "not one line of error"
    elif grep -qa 'was not asked for' ../err; then
      break
    elif [ "$code" -eq 0 ] && ! cmp -s <(losses_of alone) <(losses_of run); then
      complain "other losses"
    fi
    compgen -G 'run/checkpoints/*.tmp-*' >/dev/null && complain "a temporary is left"
    [ -e run/checkpoints/step-00000002/state.json ] || [ -e run/checkpoints/step-00000004/state.json ] ||
      complain "no checkpoint stands"
    if [ "$((n_run % 4))" -eq 0 ]; then # each resume takes as long as the run
      survives "${train[@]}"
      if [ "$code" -ne 0 ] || grep -qa 'refused' ../err; then complain "the resume"; fi
    fi
    n=$(next "$n")
  done
  [ "$code" -eq 0 ] || complain "no end"
  echo "from $1: a run asks for memory less than $n times; $n_run runs so far, $n_failed failed"
}
make_resumable
each_pass train_faults
report
