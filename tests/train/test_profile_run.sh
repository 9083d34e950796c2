#!/usr/bin/env bash
# SHOAL_PROFILE=1: a table at the end and a trace in out_dir, and the same weights as without it.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
make_small_set
train=("$shoal" train small.yaml train.max_steps=2 eval.every_epochs=1)

expect 0 "without a profile" "${train[@]}" train.out_dir=profiled
has_not "all phases"
[ ! -e profiled/trace.json ] || fail "a trace nobody asked for"
mv profiled plain # weights files hold the config, out_dir included

export SHOAL_PROFILE=1
expect 0 "with a profile" "${train[@]}" train.out_dir=profiled
for text in "all phases" "load wait" "backward" "optimizer" "evaluation" "checkpoint" conv2d roi_align \
  proposals "decode, resize"; do
  has "$text"
done
has "profiled/trace.json: opens in ui.perfetto.dev"
same plain/checkpoints/latest/model.safetensors profiled/checkpoints/latest/model.safetensors
for text in '"name": "backward", "cat": "phase", "ph": "X"' '"what": "backbone' '"name": "loader"'; do
  grep -qF "$text" profiled/trace.json || fail "no $text in the trace"
done
[ "$(tail -c 2 profiled/trace.json)" = "}" ] || fail "the trace does not end"

expect 0 "two ranks" "$mpirun" 2 "${train[@]}" train.out_dir=two
[ "$(grep -c "all phases" log)" = 1 ] || fail "both ranks print a table"
has "all-reduce exposed"
grep -qF '"name": "gradients"' two/trace.json || fail "no track of the gradients' thread"
finish
