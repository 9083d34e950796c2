#!/usr/bin/env bash
# train.devices_per_rank: what a run does follows from the number of workers, whichever of them share a
# rank; a run that is killed and resumed ends with the same bits; failures of a device end it in order.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
export OMP_WAIT_POLICY=passive
make_small_set
train=("$shoal" train small.yaml train.batch=4 train.epochs=4 checkpoint.every_steps=0 checkpoint.every_epochs=1
  optimizer.clip_norm=0 optimizer.name=sgd optimizer.lr=0.01 eval.every_epochs=0)

# train RANKS DEVICES OUT KEY=VALUE...
layout() {
  local ranks=$1 devices=$2 out=$3
  shift 3
  local run=("${train[@]}" train.out_dir="$out" train.devices_per_rank="$devices" "$@")
  [ "$ranks" -eq 1 ] || run=("$mpirun" "$ranks" "${run[@]}")
  expect 0 "$out" "${run[@]}"
}
alike() {
  "$SHOAL_LAYOUT_TOOL" same "$1" "$2" "$3" "$4" >log 2>&1 || fail "$1 and $2"
  sed "s/^/$1, $2: /" log
}

# ---- The same first step by every layout; ten steps of two and four workers (three where a step of
# the thread sanitizer's takes seconds)
n_steps=$((${SHOAL_SLOWNESS:-1} > 5 ? 3 : 10))
for shape in "1 1" "1 2" "2 1" "1 4" "2 2"; do
  read -r ranks devices <<<"$shape"
  layout "$ranks" "$devices" "first-${ranks}x$devices" train.max_steps=1
done
for shape in 1x2 2x1 1x4 2x2; do alike first-$shape first-1x1 1e-6 1e-6; done
layout 2 1 ten-2x1 train.max_steps=$n_steps
layout 1 2 ten-1x2 train.max_steps=$n_steps
alike ten-1x2 ten-2x1 1e-4 1e-4
grep -q '"devices_per_rank": 2' ten-1x2/checkpoints/latest/state.json || fail "state.json: $(cat ten-1x2/checkpoints/latest/state.json)"

# ---- Killed and resumed on the same layout: the same bits. On another: said, and goes on
layout 1 2 whole train.max_steps=9
expect bad "killed" env SHOAL_FAULT=kill:0:6 "${train[@]}" train.out_dir=cut train.devices_per_rank=2 train.max_steps=9
layout 1 2 cut train.max_steps=9 --resume auto
has "resuming from cut/checkpoints/step-00000003: 3 steps done"
has_not "another layout"
same_metrics whole/metrics.jsonl cut/metrics.jsonl
sed -i s/cut/whole/ cut/checkpoints/latest/optimizer.safetensors
same whole/checkpoints/latest/optimizer.safetensors cut/checkpoints/latest/optimizer.safetensors
layout 2 1 cut train.max_steps=10 --resume auto
has "another layout: train.devices_per_rank was 2, now 1"

# ---- bn: statistics are averaged over workers, and every worker goes on with them
layout 1 2 bn model.norm=bn train.max_steps=4
layout 2 1 bn-2x1 model.norm=bn train.max_steps=4
alike bn bn-2x1 1e-5 1e-4

# ---- An evaluation uses all devices; each image counts once
weights=whole/checkpoints/latest/model.safetensors
expect 0 "one device" "$shoal" eval small.yaml --weights "$weights" --json one.json --results one-results.json
expect 0 "two devices" "$shoal" eval small.yaml --weights "$weights" --json two.json --results two-results.json train.devices_per_rank=2
has "5 of 5 images evaluated"
expect 0 "2 x 2" "$mpirun" 2 "$shoal" eval small.yaml --weights "$weights" --json four.json train.devices_per_rank=2
same one.json two.json
same one-results.json two-results.json
same one.json four.json

# ---- Asked to stop: saved, and goes on
expect 7 "stopped" bash -c "$(printf '%q ' "${train[@]}") train.out_dir=stopped train.devices_per_rank=2 train.epochs=1000 &
  while kill -0 \$! 2>/dev/null && [ ! -e stopped/metrics.jsonl ]; do sleep 0.1; done; kill -USR1 \$!; wait \$!"
has "stopped on request after step"

# ---- Errors of a device, one line each
expect 2 "a batch that does not divide" "${train[@]}" train.out_dir=bad train.devices_per_rank=3
has "3 workers"
has_errors 1
cp -r data damaged
shard=$(find damaged -name 'train.record-00001-of-?????')
printf '\x55' | dd of="$shard" bs=1 seek=$(($(stat -c %s "$shard") / 2)) conv=notrunc status=none
expect 1 "a bad record" "${train[@]}" train.out_dir=bad train.devices_per_rank=2 data.train=damaged/train
has "train.record-00001-of-00002"
has_errors 1
expect 1 "a loss that is not finite" "${train[@]}" train.out_dir=nan train.devices_per_rank=2 optimizer.lr=1e18 schedule.warmup_steps=0
grep -Eq 'error: step [2-6]: a loss is not finite: (loss_[a-z_]* of image [0-9, ]+; ?)+' log || fail "$(cat log)"
has_errors 1

# ---- A device that hangs is the watchdog's
expect 75 "a hang" env SHOAL_FAULT=hang:0:2 "${train[@]}" train.out_dir=hang train.devices_per_rank=2 comm.timeout_s=4
has "no progress for"

# ---- bf16 on the way between ranks: the same bits every time, and not those of fp32
layout 2 2 wire comm.wire=bf16 train.max_steps=3
layout 2 2 wire2 comm.wire=bf16 train.max_steps=3
grep -q 'wire bf16' wire/checkpoints/latest/state.json || fail "state.json: $(cat wire/checkpoints/latest/state.json)"
same_metrics wire/metrics.jsonl wire2/metrics.jsonl
cmp -s wire/checkpoints/latest/optimizer.safetensors wire2/checkpoints/latest/optimizer.safetensors || fail "two runs in bf16 differ"
! cmp -s <(losses_of wire/metrics.jsonl) <(losses_of ten-2x1/metrics.jsonl | sed -n 1,3p) || fail "bf16 rounds nothing"
finish
