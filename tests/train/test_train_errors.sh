#!/usr/bin/env bash
# What goes wrong in a run on several ranks is told once, in one line that names the place and the
# cure, and ends the job with its exit code; nothing half-written is left.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
make_small_set
train=("$shoal" train small.yaml optimizer.name=sgd)
two=("$mpirun" 2 "${train[@]}")

# says CODE TEXT COMMAND...: one error line with the text.
says() {
  local code=$1 text=$2
  shift 2
  rm -rf out
  expect "$code" "$text" "$@"
  has "$text"
  has_errors 1
  [ ! -e out ] || fail "$text: left $(find out | tr '\n' ' ')"
}

# ---- Before anything runs
says 2 "train.batch" "$mpirun" 3 "${train[@]}" train.batch=4
says 2 "train.batch" "${two[@]}" train.batch=14
says 2 "unknown key optimizer.rl" "${two[@]}" optimizer.rl=1
says 2 "--nothing" "${two[@]}" --nothing
says 1 "cannot open none.yaml" "$mpirun" 2 "$shoal" train none.yaml
says 1 "data/none.json" "${two[@]}" data.train=data/none
says 1 "data/none.json" "${two[@]}" data.val=data/none
says 1 "cannot open none.safetensors" "${two[@]}" train.init=none.safetensors
says 2 "train.init" "${two[@]}" model.norm=frozen_bn
says 2 "comm.backend self is for one rank" "${two[@]}" comm.backend=self
says 1 "train.device cuda: " "${two[@]}" train.device=cuda
says 2 "comm.backend: nccl is for GPUs" "${two[@]}" comm.backend=nccl
says 2 "4 workers" "${two[@]}" train.devices_per_rank=2
sed 's/"circle"/"disc"/' synth/annotations/instances_val.json >other.json
expect 0 "pack other labels" "$shoal" pack coco --annotations other.json --images synth/val --out data/other --shards 1
says 2 'labels disagree: data/train has label 1 = "circle"' "${two[@]}" data.val=data/other
printf 'data: {train: data/train\n' >broken.yaml
says 1 "broken.yaml:" "$mpirun" 2 "$shoal" train broken.yaml
touch out
expect 1 "a file in the place of the folder" "${two[@]}"
has "out: "
has_errors 1
rm out

# ---- A loss that is not finite: all ranks stop, nothing of the step is kept
rm -rf out
expect 1 "a loss that is not finite" "${two[@]}" optimizer.lr=1e18 schedule.warmup_steps=0 \
  checkpoint.every_steps=1 optimizer.clip_norm=0
grep -Eq 'error: step [2-6]: a loss is not finite: (loss_[a-z_]* of image [0-9, ]+; ?)+' log ||
  fail "no step, term and image ids in: $(cat log)"
has_errors 1
step=$(grep -Eo 'step [0-9]+: a loss' log | grep -Eo '[0-9]+')
[ "$(grep -c '"loss"' out/metrics.jsonl)" = $((step - 1)) ] || fail "metrics.jsonl: $(cat out/metrics.jsonl)"
[ ! -e out/done.json ] || fail "done.json after a loss that is not finite"
if compgen -G 'out/checkpoints/*' >/dev/null; then
  expect 0 "what was written can be read" "${two[@]}" optimizer.lr=1e18 schedule.warmup_steps=0 \
    optimizer.clip_norm=0 checkpoint.every_steps=1 train.max_steps=1 --resume auto
fi

# ---- A bad record in the middle: one line, from whichever rank met it, and the job ends
cp -r data damaged
shard=$(find damaged -name 'train.record-00001-of-?????')
printf '\x55' | dd of="$shard" bs=1 seek=$(($(stat -c %s "$shard") / 2)) conv=notrunc status=none
rm -rf out
expect 1 "a bad record" "${two[@]}" data.train=damaged/train
has "train.record-00001-of-00002"
[ "$(grep -c '^shoal: .*error: ' log)" -le 2 ] || fail "$(cat log)" # both ranks may meet it at once

# ---- A disk that is full: the run goes on, older checkpoints stand, and the end says so
rm -rf out
expect 0 "two steps" "${train[@]}" train.max_steps=2
# shellcheck disable=SC2317 # expect calls it
full() ( # files end at 8 MiB; the model is larger
  trap '' XFSZ
  ulimit -f 8192
  exec "$@"
)
expect 1 "a full disk" full "${train[@]}" train.max_steps=5 --resume auto
has "warning: checkpoint of step 4 not written: "
has "training goes on, older checkpoints stand"
[ "$(grep -c '"loss"' out/metrics.jsonl)" = 5 ] || fail "training did not go on: $(cat log)"
[ "$(entries out/checkpoints)" = "best latest step-00000002 " ] || fail "checkpoints are $(entries out/checkpoints)"
[ ! -e out/done.json ] || fail "done.json without a last checkpoint"
expect 0 "room again" "${train[@]}" train.max_steps=5 --resume auto
has "resuming from out/checkpoints/step-00000002"
[ "$(grep -c '"loss"' out/metrics.jsonl)" = 5 ] || fail "metrics.jsonl: $(cat out/metrics.jsonl)"

# ---- A file in the place of the folder
rm -rf out && mkdir -p out && touch out/checkpoints
expect 1 "a file named checkpoints" "${train[@]}"
has "out/checkpoints"
has_errors 1
finish
