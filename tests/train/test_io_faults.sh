#!/usr/bin/env bash
# The n-th call to the file system below out_dir fails, for several n of a small run (for every n in
# test_io_faults_long.sh): a full disk for one call or for good, a short write, a failing fsync, an
# interrupted call, a folder that vanishes. It is told, training goes on where it can, and what a
# resume finds leads to the weights of a run that was left alone. See support/fault_io.c.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
export OMP_NUM_THREADS=1
# Four places of each kind; with PASSES set all, in that many rounds, so that what is cut short has
# been everywhere: round r takes r, r + PASSES, ...
passes=${PASSES:-0}
make_small_set
settings=(optimizer.name=sgd checkpoint.every_steps=1 checkpoint.keep=2 train.batch=1)
# The body's weights stay as they are: a step costs little, a checkpoint has the same files.
expect 0 "weights to begin with" "$shoal" train small.yaml "${settings[@]}" model.norm=bn \
  train.max_steps=1 train.out_dir=init eval.every_epochs=0
settings+=(model.norm=frozen_bn model.trainable_stages=0
  train.init="$work/init/checkpoints/latest/model.safetensors")
train=("$shoal" train small.yaml "${settings[@]}" --resume auto)

# faulty KIND AT FOR COMMAND...: its faults are in $work/faults.
# shellcheck disable=SC2317 # expect calls it
faulty() {
  rm -f faults
  FAULT_UNDER=out FAULT_KIND=$1 FAULT_AT=$2 FAULT_FOR=$3 FAULT_LOG=$work/faults \
    LD_PRELOAD=${SHOAL_FAULT_IO:?} "${@:4}"
}

# Two steps are done and checkpointed; each case does the third and the fourth.
expect 0 "two steps" "${train[@]}" train.max_steps=2
cp -r out base
expect 0 "the run left alone" "${train[@]}" train.max_steps=4
mv out alone

# The checkpoints' files are never written to again: links will do.
begin_from_base() {
  rm -rf out out.gone
  cp -al base out
  cp --remove-destination base/*.json* out
}

check_words() { # CODE WHAT
  grep -qv '^shoal: ' log && fail "$2: foreign words: $(grep -v -m 3 '^shoal: ' log)"
  case $1 in
    0) ! grep -q '^shoal: error: ' log || fail "$2: an error line and exit 0: $(cat log)" ;;
    1)
      has_errors 1
      # Only before the first step, or for want of the final checkpoint.
      if grep -q '"step": *3' out/metrics.jsonl 2>/dev/null && ! grep -q 'error: checkpoint of step 4\|step-00000004' log; then
        fail "$2: exit 1 for less than the final checkpoint: $(cat log)"
      fi
      ;;
    *) fail "$2: exit $1: $(tail -n 5 log)" ;;
  esac
}

# strike KIND AT FOR
strike() {
  local what="$1 at call $2 for $3" code
  begin_from_base
  faulty "$1" "$2" "$3" "${train[@]}" train.max_steps=4 >log 2>&1
  code=$?
  check_words $code "$what"
  if grep -q '^fault' faults; then
    case $1 in
      short) if [ $code -ne 0 ] || grep -q 'warning: ' log; then fail "$what: $(cat log)"; fi ;;
      full | sync) grep -q 'warning: \|error: ' log || fail "$what: not a word: $(cat faults log)" ;;
    esac
    n_struck=$((n_struck + 1))
  fi
  ! compgen -G 'out/checkpoints/*.tmp-*' >/dev/null || [ "$3" -gt 1 ] || [ "$1" = vanish ] ||
    fail "$what: left $(entries out/checkpoints): $(cat log)"
  # The resume has a good checkpoint to go on from, and ends as if nothing had been.
  cp log log.struck
  expect 0 "$what: the resume" "${train[@]}" train.max_steps=4
  has_not "checkpoint refused"
  [ "$1" = vanish ] || has_not "step 1/"
  same alone/checkpoints/latest/model.safetensors out/checkpoints/step-00000004/model.safetensors
  [ "$1" = vanish ] || same_metrics alone/metrics.jsonl out/metrics.jsonl
  [ $n_failed -eq 0 ] || { cat faults log.struck log; finish; }
}

kinds=(full sync short eintr vanish)
declare -A n_calls
for kind in "${kinds[@]}"; do
  begin_from_base
  expect 0 "counting calls" faulty "$kind" 0 1 "${train[@]}" train.max_steps=4
  n_calls[$kind]=$(sed -n 's/ calls$//p' faults)
  [ "${n_calls[$kind]:-0}" -gt 3 ] || fail "$kind: ${n_calls[$kind]:-no} calls counted"
  echo "$kind: ${n_calls[$kind]} calls"
done

# strike_all KIND FIRST STEP
strike_all() {
  local at
  for ((at = $2; at <= n_calls[$1]; at += $3)); do
    strike "$1" "$at" 1
    [ "$1" != full ] || strike "$1" "$at" 1000000
  done
}

n_struck=0
if [ "$passes" -eq 0 ]; then
  for kind in "${kinds[@]}"; do
    step=$(((n_calls[$kind] + 3) / 4))
    strike_all "$kind" $((1 + RANDOM % step)) $step
  done
  # The last evaluation's line, and the mark of a complete run.
  strike_all full $((n_calls[full] - 6)) 1
fi
for ((pass = 1; pass <= passes; pass++)); do
  for kind in "${kinds[@]}"; do strike_all "$kind" $pass "$passes"; done
  echo "pass $pass of $passes: $n_struck faults so far"
done
echo "$n_struck faults struck"
[ "$n_struck" -gt 10 ] || fail "only $n_struck faults struck"

# A folder that cannot be written at the start.
rm -rf out
expect 1 "a read-only out_dir" faulty readonly 1 1000000 "${train[@]}" train.max_steps=4
has_errors 1
has "out"
has_not "step 1"
begin_from_base
expect 1 "a read-only out_dir with checkpoints" faulty readonly 1 1000000 "${train[@]}" train.max_steps=4
has_errors 1
expect 0 "the resume" "${train[@]}" train.max_steps=4
has "resuming from out/checkpoints/step-00000002"
finish
