#!/usr/bin/env bash
# shoal train on fake devices, its gradients summed by the double of NCCL: by any number of ranks and
# devices as on one; the same bits every time; a sum that fails, a rank that dies or stands still ends
# the job with the right line and code.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
fake=$SHOAL_FAKE
doubles=$LD_LIBRARY_PATH
make_small_set
host=$(hostname)
# Kernels and convolutions are loops here: a backbone that is not trained, and three buckets of the rest.
train=("$fake" train small.yaml train.device=cuda train.batch=4 train.epochs=100 train.max_steps=2
  model.trainable_stages=0 model.roi.hidden=512 input.min_size=32 input.max_size=32 comm.bucket_mib=1
  optimizer.name=sgd optimizer.lr=0.01 optimizer.clip_norm=0 eval.every_epochs=0 checkpoint.every_steps=0
  checkpoint.every_epochs=0 comm.timeout_s=120)

# layout RANKS DEVICES OUT KEY=VALUE...
layout() {
  local ranks=$1 devices=$2 out=$3
  shift 3
  local run=("${train[@]}" train.out_dir="$out" train.devices_per_rank="$devices" "$@")
  [ "$ranks" -eq 1 ] || run=("$mpirun" "$ranks" "${run[@]}")
  expect 0 "$out" "${run[@]}"
}

# ---- Two and four workers as one
layout 1 1 one
has "comm self (none)"
export FAKE_NCCL_LOG=$PWD/calls
layout 2 1 2x1
unset FAKE_NCCL_LOG
has "comm nccl (2."
layout 1 2 1x2
layout 2 2 2x2
for shape in 2x1 1x2 2x2; do
  "$SHOAL_LAYOUT_TOOL" same $shape one 1e-5 1e-4 >log 2>&1 || fail "$shape and one"
  sed "s/^/$shape: /" log
done

# ---- Sums begin while the walk goes on: kernels are launched between a step's first sum and its last
grep 'rank 0 ' calls | awk '{ at[NR] = $7 } END { n = NR / 2; exit !(n >= 3 && at[n] - at[1] > 50) }' ||
  fail "sums do not overlap: $(cat calls)"

# ---- The same bits every time, in fp32 and in bf16
layout 2 1 again
same_metrics 2x1/metrics.jsonl again/metrics.jsonl
values() { # of a model file, without its header, which holds the config
  "$SHOAL_LAYOUT_TOOL" same "$1" "$2" 0 0 >log 2>&1 || fail "$1 and $2: $(cat log)"
}
values 2x1 again
layout 1 2 wire comm.wire=bf16
if [ "${SHOAL_LONG:-0}" = 1 ]; then
  layout 1 2 wire-again comm.wire=bf16
  same_metrics wire/metrics.jsonl wire-again/metrics.jsonl
  values wire wire-again
fi
grep -q 'wire bf16' wire/checkpoints/latest/state.json || fail "state.json: $(cat wire/checkpoints/latest/state.json)"
"$SHOAL_LAYOUT_TOOL" same wire one 1e-2 1e-2 >log 2>&1 || fail "bf16 and fp32: $(cat log)"
! "$SHOAL_LAYOUT_TOOL" same wire one 0 0 >log 2>&1 || fail "bf16 rounds nothing"

# ---- A sum that fails: seen behind the work, and at once
two=("$mpirun" 2 "${train[@]}" train.out_dir=broken)
expect 75 "a sum fails behind" env FAKE_NCCL_FAIL=1:2 "${two[@]}"
grep -Eq "shoal: rank 1: error: on $host, step [0-9]+, [a-z ]+: NCCL: remote process exited or there was a network error \(code 6\): as asked for; exit code 75, --resume auto goes on" log ||
  fail "a sum fails behind: $(cat log)"
has "fake NCCL: rank 1 aborted"
# Of the second step, whose kernels are captured.
expect 75 "a sum fails behind, in one process" env FAKE_NCCL_FAIL=1:5 "${train[@]}" train.devices_per_rank=2 train.out_dir=broken
has "NCCL: remote process exited"
has "fake NCCL: rank 0 aborted"
expect 75 "a sum is refused" env FAKE_NCCL_REFUSE=0:2 "${two[@]}"
has "error: NCCL: "
begin=$SECONDS
expect 75 "a sum is refused, in one process" env FAKE_NCCL_REFUSE=1:5 "${train[@]}" train.devices_per_rank=2 train.out_dir=broken
has_errors 1
[ $((SECONDS - begin)) -lt 60 ] || fail "a sum was refused, and the end took $((SECONDS - begin)) s"

# ---- A rank that dies, a rank that stands still
begin=$SECONDS
expect 137 "a rank dies" env SHOAL_FAULT=kill:1:2 "${two[@]}"
[ $((SECONDS - begin)) -lt 100 ] || fail "a rank died, and the others took $((SECONDS - begin)) s"
expect 75 "a rank hangs" env SHOAL_FAULT=hang:1:2 "${two[@]}" comm.timeout_s=8
grep -Eq "rank [01]: error: on $host, step 2, .*: no progress for" log || fail "a rank hangs: $(cat log)"
has "fake NCCL: rank"

# ---- Refused in one line
expect 2 "gradients of GPUs over MPI" "${two[@]}" comm.backend=mpi
has "comm.backend: mpi does not carry gradients of GPUs; want auto or nccl"
expect 2 "more devices than there are" "${train[@]}" train.devices_per_rank=12 train.batch=12 train.out_dir=broken
has "but this host has 8 GPUs"
mkdir lib && ln -s "$doubles/libcudnn.so.9" lib/ && echo none >lib/libnccl.so.2 # a sound one may be installed
expect 1 "NCCL is missing" env LD_LIBRARY_PATH="$PWD/lib" "${two[@]}"
has "libnccl.so.2 cannot be opened: "
has "put its folder on LD_LIBRARY_PATH"
has_errors 1
finish
