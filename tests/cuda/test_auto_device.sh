#!/usr/bin/env bash
# train.device=auto on fake devices, of which a host has eight: a GPU for each of its devices or none for
# any, the same on all ranks, with a line that says why; without a GPU no word.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
doubles=$LD_LIBRARY_PATH
bench=("$SHOAL_FAKE" bench allreduce --mib 0.01 --rounds 1)

# says WORDS WHAT COMMAND...
says() {
  expect 0 "$2" "${@:3}"
  has "$1"
}
chose() { # cpu|gpu
  local name='"device": "fake'
  if [ "$1" = gpu ]; then has "$name"; elif grep -qF "$name" log; then fail "a GPU: $(cat log)"; fi
}

says "train.device auto: fake" "one device" "${bench[@]}"
chose gpu
says "train.device auto: fake" "two ranks" "$mpirun" 2 "${bench[@]}"
chose gpu
[ "$(grep -c 'train.device auto' log)" -eq 1 ] || fail "not said once: $(cat log)"
says "all ranks take the CPU, since on this one: 8 GPUs for 9 devices of this host's ranks" "too few" \
  "${bench[@]}" train.devices_per_rank=9
chose cpu
says "all ranks take the CPU, since on this one: comm.backend mpi does not" "MPI" \
  "$mpirun" 2 "${bench[@]}" comm.backend=mpi
chose cpu
mkdir bare lib && ln -s "$doubles/libcudnn.so.9" lib/ && echo none >lib/libnccl.so.2 && echo none >bare/libcudnn.so.9
for _ in {1..20}; do # two devices open side by side: where one looked at the other, one run in five fell over
  says "all ranks take the CPU, since on this one: NCCL is missing: libnccl.so.2 cannot be opened" "no NCCL" \
    env LD_LIBRARY_PATH="$PWD/lib" "${bench[@]}" train.devices_per_rank=2
done
chose cpu
says "all ranks take the CPU, since on this one: cuDNN is missing: libcudnn.so.9 cannot be opened" "no cuDNN" \
  env LD_LIBRARY_PATH="$PWD/bare" "${bench[@]}"
chose cpu
# shellcheck disable=SC2016 # the rank is the inner shell's
says "all ranks take the CPU, since on this one: no NVIDIA GPU" "a rank without a GPU" \
  "$mpirun" 2 bash -c 'test "$OMPI_COMM_WORLD_RANK" -eq 0 || export FAKE_CUDA_NO_DEVICE=1; exec "$@"' bash "${bench[@]}"
chose cpu
expect 0 "no GPU anywhere" env FAKE_CUDA_NO_DEVICE=1 "${bench[@]}"
chose cpu
if grep -q 'train.device' log; then fail "a word too much: $(cat log)"; fi
expect 2 "NCCL without a GPU" env FAKE_CUDA_NO_DEVICE=1 "${bench[@]}" comm.backend=nccl
has "train.device=auto is the CPU here"
expect 0 "the processor by name" "${bench[@]}" train.device=cpu
chose cpu
finish
