#!/usr/bin/env bash
# What a resume may change and what it may not, and what damaged checkpoints cost.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
make_small_set
train=("$shoal" train small.yaml optimizer.name=sgd optimizer.lr=0.01 train.epochs=1 eval.every_epochs=0)

# ---- out_dir, --resume auto, complete runs
expect 0 "a fresh run" "${train[@]}" --resume auto
expect 2 "an out_dir in use" "${train[@]}"
has "out holds checkpoints already; add --resume auto"
has_errors 1
expect 0 "a complete run" "${train[@]}" --resume auto
has "the run is complete, nothing to do"
[ "$(entries out/checkpoints)" = "latest step-00000002 step-00000004 step-00000006 " ] ||
  fail "checkpoints are $(entries out/checkpoints)"
[ "$(readlink out/checkpoints/latest)" = step-00000006 ] || fail "latest is $(readlink out/checkpoints/latest)"
cp -r out out.6

# ---- Refused: another config, other data
refused() { # key=value, text
  expect 2 "resume with $1" "${train[@]}" train.epochs=2 "$1" --resume auto
  has "$2"
  has_errors 1
}
refused optimizer.lr=0.02 "optimizer.lr was 0.01, now 0.02"
refused train.batch=3 "train.batch was 2, now 3"
refused train.seed=7 "train.seed was 1, now 7"
refused model.roi.hidden=16 "model.roi.hidden was 32, now 16"
refused schedule.name=multistep "schedule.name was constant, now multistep"
refused schedule.name=cosine "train.epochs was 1, now 2 (2 keys differ)" # its length is its shape
expect 0 "other data" "$shoal" pack coco --annotations synth/annotations/instances_train.json \
  --images synth/train --out data/other --shards 3
expect 2 "resume with other data" "${train[@]}" train.epochs=2 data.train=data/other --resume auto
has "data.train data/other is not the data that the checkpoint was trained on"
[ -e out/done.json ] || fail "a refused resume removed done.json"
for n in 2 4 6; do same out/checkpoints/step-0000000$n/state.json out.6/checkpoints/step-0000000$n/state.json; done
same out/metrics.jsonl out.6/metrics.jsonl

# ---- Allowed: more epochs, data moved, another layout (said so); and it goes on
mkdir moved && cp data/train.* data/train* moved/ 2>/dev/null
expect 0 "more epochs" "${train[@]}" train.epochs=2 train.max_steps=8 data.train=moved/train data.workers=2 \
  checkpoint.keep=2 train.micro_batch=2 train.threads=2 --resume auto
has "resuming from out/checkpoints/step-00000006: 6 steps done"
has "another layout: threads was 1, now 2"
has "another layout: train.micro_batch was 1, now 2"
[ "$(grep -c '"loss"' out/metrics.jsonl)" = 8 ] || fail "metrics.jsonl has $(wc -l <out/metrics.jsonl) lines"
grep -q '"step": 8' out/done.json || fail "done.json is $(cat out/done.json)"

# ---- --resume PATH: an older checkpoint; later ones are set aside, not counted, not lost
expect 0 "resume from a folder" "${train[@]}" train.epochs=2 train.max_steps=8 --resume out/checkpoints/step-00000006
has "resuming from out/checkpoints/step-00000006"
has "step-00000008 is of a later step than the run goes on from; set aside as"
[ -e out/checkpoints/step-00000008.aside/state.json ] || fail "step 8 was not set aside"
[ -e out/checkpoints/step-00000008/state.json ] || fail "step 8 was not written anew"
expect 1 "resume from nowhere" "${train[@]}" --resume out/checkpoints/step-00000099
has "step-00000099/state.json"
has_errors 1
expect 2 "resume into another run's folder" "${train[@]}" train.out_dir=out.6 --resume out/checkpoints/step-00000006
has "out.6 holds checkpoints of its own"
expect 0 "resume into a new folder" "${train[@]}" train.out_dir=new --resume out.6/checkpoints/latest
[ -e new/checkpoints/step-00000006/state.json ] || fail "new has no checkpoint"
[ -e new/done.json ] || fail "new is not done"
same new/checkpoints/step-00000006/optimizer.safetensors out.6/checkpoints/step-00000006/optimizer.safetensors

# ---- Damaged checkpoints: refused by name, the one before is used
cp -r out.6 bad && rm bad/done.json
truncate -s -1 bad/checkpoints/step-00000006/optimizer.safetensors
rm bad/checkpoints/step-00000004/state.json
mkdir bad/checkpoints/step-00000007.tmp-1 && touch bad/checkpoints/step-00000007.tmp-1/model.safetensors
expect 0 "damaged checkpoints" "${train[@]}" train.out_dir=bad checkpoint.keep=1 --resume auto
has "checkpoint refused: bad/checkpoints/step-00000006/optimizer.safetensors"
has "checkpoint refused: cannot open bad/checkpoints/step-00000004/state.json"
has "resuming from bad/checkpoints/step-00000002: 2 steps done"
[ "$(entries bad/checkpoints)" = "latest step-00000004.aside step-00000006 step-00000006.aside " ] ||
  fail "checkpoints are $(entries bad/checkpoints)"
same bad/checkpoints/step-00000006/optimizer.safetensors out.6/checkpoints/step-00000006/optimizer.safetensors
same_metrics bad/metrics.jsonl out.6/metrics.jsonl

# ---- All bad: a fresh start
printf x >>bad/checkpoints/step-00000006/model.safetensors
expect 0 "no good checkpoint" "${train[@]}" train.out_dir=bad --resume auto
has "checkpoint refused: bad/checkpoints/step-00000006/model.safetensors"
has_not "resuming from"
same_metrics bad/metrics.jsonl out.6/metrics.jsonl

# ---- Killed between the last evaluation and done.json: nothing is done twice, what is expected is checked
expect 0 "a run with an evaluation" "${train[@]}" train.out_dir=eval eval.every_epochs=1 'expect.bbox_ap=[0, 1]'
has "expect.bbox_ap: reached"
cp eval/metrics.jsonl metrics.eval && rm eval/done.json
expect 0 "only the end is missing" "${train[@]}" train.out_dir=eval eval.every_epochs=1 'expect.bbox_ap=[0, 1]' --resume auto
has "expect.bbox_ap: reached"
has_not "AP50"
same eval/metrics.jsonl metrics.eval
rm eval/done.json && sed -i '$d' eval/metrics.jsonl # the evaluation's line
expect 0 "the evaluation is missing too" "${train[@]}" train.out_dir=eval eval.every_epochs=1 --resume auto
has "step 6: AP"
same eval/metrics.jsonl metrics.eval
rm eval/done.json && truncate -s -20 eval/metrics.jsonl # torn
expect 0 "the evaluation's line is torn" "${train[@]}" train.out_dir=eval eval.every_epochs=1 --resume auto
same eval/metrics.jsonl metrics.eval
expect 1 "a result that is missed" "${train[@]}" train.out_dir=missed eval.every_epochs=1 'expect.bbox_ap=[90, 1]'
has "expect.bbox_ap: reached"
has_errors 1
finish
