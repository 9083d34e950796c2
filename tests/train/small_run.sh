# shellcheck shell=bash disable=SC2034
# Sourced by the script tests of src/train: a folder of its own, a small made-up data set, a config of
# a model small enough for a step in a tenth of a second, and checks.
set -uo pipefail
shoal=$SHOAL_BINARY
mpirun=$SHOAL_SOURCE_DIR/tests/support/mpirun.sh
# Checkpoints are fsynced: in memory that costs nothing, where there is room.
room=$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)
[ "${room:-0}" -gt 3000000 ] && [ -w /dev/shm ] && base=/dev/shm || base=/tmp
base=${SHOAL_TEST_BASE:-$base} # a cluster test has its own
work=$(mktemp -d "$base/shoal-test-XXXXXX")
n_failed=0
trap 'test $n_failed -ne 0 || rm -rf "$work"' EXIT
cd "$work" || exit 1
export SHOAL_PROGRESS=plain

fail() {
  echo "FAIL: $*"
  n_failed=$((n_failed + 1))
}

# Ends the test script: prints what went wrong, keeps the folder then.
finish() {
  [ $n_failed -eq 0 ] || echo "$n_failed failed; see $work"
  exit $((n_failed > 0))
}

# Twelve training and five validation pictures of 64 x 64 pixels as data/train, data/val, and
# small.yaml: two epochs of six steps of two images, a checkpoint every second step.
make_small_set() {
  expect 0 "pack synth" "$shoal" pack synth --out synth --images 12 --val 5 --size 64 --seed 3
  local part
  for part in train val; do
    expect 0 "pack $part" "$shoal" pack coco --out data/$part --shards 2 --images synth/$part \
      --annotations synth/annotations/instances_$part.json
  done
  cat >small.yaml <<'END'
model:
  backbone: resnet18
  norm: gn
  trainable_stages: 5
  fpn_channels: 32
  rpn: {anchor_sizes: [8, 16, 32, 64, 128], batch_per_image: 32, pre_nms_top_n_train: 60,
        post_nms_top_n_train: 30, pre_nms_top_n_test: 60, post_nms_top_n_test: 30}
  roi: {batch_per_image: 16, hidden: 32, score_threshold: 0.01}
input: {min_size: 64, max_size: 64}
data: {train: data/train, val: data/val, workers: 1}
train: {epochs: 2, batch: 2, micro_batch: 1, threads: 1, device: cpu, out_dir: out}
optimizer: {name: adamw, lr: 0.001, lr_for_batch: 0, clip_norm: 10.0}
schedule: {name: constant, warmup_steps: 2}
checkpoint: {every_steps: 2, keep: 3}
END
}

# expect CODE WHAT COMMAND...: runs it with its output in $work/log; the exit code must be CODE (or
# "bad": any but 0). WHAT names the case.
expect() {
  local want=$1 what=$2 got
  shift 2
  "$@" >log 2>&1
  got=$?
  if [ "$want" = bad ]; then
    [ $got -ne 0 ] || fail "$what: exit 0"
  elif [ $got -ne "$want" ]; then
    fail "$what: exit $got, want $want: $(tail -n 5 log)"
  fi
}

# The last command's output has this text / has no line with it.
has() {
  grep -qF -- "$1" log || fail "no \"$1\" in: $(tail -n 8 log)"
}
has_not() {
  ! grep -qF -- "$1" log || fail "\"$1\" in: $(grep -F -- "$1" log)"
}

# Lines of the program's own that speak of an error: want of them in the last command's output.
has_errors() {
  local got
  got=$(grep -c '^shoal: .*error: ' log)
  [ "$got" -eq "$1" ] || fail "$got error lines, want $1: $(grep '^shoal: ' log)"
}

# A folder's names in order, a space after each.
entries() {
  (cd "$1" && printf '%s ' *)
}

# Files are the same to the byte.
same() {
  cmp -s "$1" "$2" || fail "$1 and $2 differ"
}

# metrics.jsonl without what depends on the clock and the machine.
losses_of() {
  sed -E 's/, ?"(images_per_s|data_wait_s|compute_s|comm_exposed_s|step_s|rss_mib)": ?[^,}]*//g' "$1"
}
same_metrics() {
  cmp -s <(losses_of "$1") <(losses_of "$2") ||
    fail "$1 and $2 differ: $(diff <(losses_of "$1") <(losses_of "$2") | sed -n 1,6p)"
}
