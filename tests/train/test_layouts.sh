#!/usr/bin/env bash
# One global batch of four pictures by every layout of ranks and micro-batches: the same losses and
# weights, and torchvision's (tests/golden/make_layout.py), over ten steps on the golden's set-up; on
# the default samplers the same first step.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
golden=$SHOAL_SOURCE_DIR/tests/golden/layout
export OMP_WAIT_POLICY=passive
expect 0 "pack" "$shoal" pack coco --annotations "$golden/instances.json" --images "$golden" --out data/four --shards 3
[ $n_failed -eq 0 ] || finish
mapfile -t network <"$golden/network.txt"
mapfile -t takes_all <"$golden/takes_all.txt"
mapfile -t optimizer <"$golden/optimizer.txt"
expect 0 "keyed weights" "$SHOAL_LAYOUT_TOOL" weights start.safetensors "${network[@]}"
cat >four.yaml <<'END'
data: {train: data/four, val: data/four, workers: 1, drop_empty: false}
train: {batch: 4, epochs: 10, threads: 1, init: start.safetensors}
schedule: {name: constant, warmup_steps: 0}
checkpoint: {every_epochs: 0}
eval: {every_epochs: 0}
END

# SHOAL_TEST_TRAIN: further words for every run, such as train.device=cuda.
read -ra more <<<"${SHOAL_TEST_TRAIN:-}"
# train RANKS MICRO_BATCH OUT_DIR key=value...
train() {
  local ranks=$1 micro=$2 out=$3
  shift 3
  expect 0 "$out" "$mpirun" "$ranks" "$shoal" train four.yaml "${network[@]}" "${optimizer[@]}" \
    train.micro_batch="$micro" train.out_dir="$out" "$@" ${more[@]+"${more[@]}"}
}
# compare WHAT ARGS...: layout_tool, whose verdict is shown.
compare() {
  local what=$1
  shift
  "$SHOAL_LAYOUT_TOOL" "$@" >log 2>&1 || fail "$what"
  sed "s/^/$what: /" log
}

train 1 1 all-1x1 "${takes_all[@]}"
compare "1 rank of 1 against torchvision" golden all-1x1 start.safetensors "$golden/expected.safetensors"
# Two steps where one of the thread sanitizer's takes seconds.
few=all-1x1 steps=()
if [ "${SHOAL_SLOWNESS:-1}" -gt 5 ]; then
  few=few-1x1 steps=(train.max_steps=2)
  train 1 1 $few "${takes_all[@]}" "${steps[@]}"
fi
for layout in "1 2" "1 4" "2 1" "2 2" "4 1"; do
  read -r ranks micro <<<"$layout"
  out=all-${ranks}x$micro
  train "$ranks" "$micro" "$out" "${takes_all[@]}" ${steps[@]+"${steps[@]}"}
  compare "$ranks ranks of $micro" same "$out" $few 1e-4 1e-4 start.safetensors
  rm -rf "$out"
done

# The samplers choose by keyed numbers; proposals by scores, which are the same where as many images
# run at once.
for layout in "1 1" "1 2" "2 1" "2 2" "4 1"; do
  read -r ranks micro <<<"$layout"
  train "$ranks" "$micro" "first-${ranks}x$micro" train.max_steps=1
done
compare "first step, 2 ranks of 1" same first-2x1 first-1x1 1e-6 1e-6
compare "first step, 4 ranks of 1" same first-4x1 first-1x1 1e-6 1e-6
compare "first step, 2 ranks of 2" same first-2x2 first-1x2 1e-6 1e-6
finish
