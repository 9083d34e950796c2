#!/usr/bin/env bash
# Everything that only a GPU can show, in one go, and one report of it. For whoever has an NVIDIA GPU
# with the CUDA toolkit, cuDNN 9 and, for the last stages, compute-sanitizer and python3.
#
#   ci/gpu.sh [--report FILE] [--only STAGE,STAGE...] [--dry-run]
#
# Stages, in order; one that fails costs the others nothing:
#   build       the program and the suites that run on the device, in build/gpu; needs no GPU
#   slots       the suites of the backend's functions on the device
#   goldens     ops and the whole model against torch and torchvision's numbers
#   ranks       the same losses and weights by every layout of ranks, on one GPU too
#   memcheck, racecheck, initcheck
#               compute-sanitizer over one training step
#   demo        the demo in fp32 and in bf16: AP within 1 point of each other
#   allreduce   bandwidth over all GPUs
#   torchvision training and inference of R50-FPN at 800 x 1333 against torchvision
#
# FILE (build/gpu/report/report.md) is there from the first stage on, each log beside it. Exit 0: all went well;
# 1: the report says what did not; 77: no GPU here. --dry-run shows the commands and runs none.
# shellcheck disable=SC2317 # stages are called by their names
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
all=(build slots goldens ranks memcheck racecheck initcheck demo allreduce torchvision)
report=build/gpu/report/report.md only=() dry=''

fail() {
  echo "gpu.sh: $*" >&2
  exit 2
}

while [ $# -gt 0 ]; do
  case $1 in
    --report) report=${2:?gpu.sh: --report wants a file}; shift 2 ;;
    --only) IFS=, read -ra only <<<"${2:?gpu.sh: --only wants stages}"; shift 2 ;;
    --dry-run) dry=yes; shift ;;
    --help | -h) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) fail "what is $1? see --help" ;;
  esac
done
[ ${#only[@]} -gt 0 ] || only=("${all[@]}")
for stage in "${only[@]}"; do
  [[ " ${all[*]} " == *" $stage "* ]] || fail "no stage $stage; there are ${all[*]}"
done

shoal=${SHOAL_BINARY:-build/gpu/shoal}
tree=$PWD
# Words of the program's command line that put it on the device.
on_gpu=(train.device=cuda)

# What the program says where it is built: "gpu     none: no NVIDIA driver ...", "NCCL     2.28.9".
devices() {
  [ -x "$shoal" ] && "$shoal" devices 2>/dev/null
}

# "0 NAME" a line, by the program where it is built, else by the driver's own tool.
list_gpus() {
  if [ -x "$shoal" ]; then
    devices | sed -nE 's/^gpu ([0-9]+) +(.*)/\1 \2/p'
  elif command -v nvidia-smi >/dev/null; then
    nvidia-smi -L 2>/dev/null | sed -nE 's/^GPU ([0-9]+): (.*)/\1 \2/p'
  fi
}
gpus=$(list_gpus)
if [ -z "$gpus" ] && [ -z "$dry" ] && [ "${only[*]}" != build ]; then
  reason=$(devices | sed -nE 's/^gpu +none: (.*)/ (\1)/p')
  echo "gpu.sh: no GPU found on this machine${reason:-}: nothing was run" >&2
  exit 77
fi
n_gpus=$(grep -c . <<<"$gpus")

mkdir -p "$(dirname "$report")" || exit 2
logs=$(cd "$(dirname "$report")" && pwd) || exit 2
{
  echo "# Shoal on a GPU"
  echo
  echo "$(date -u '+%Y-%m-%d %H:%M') UTC, commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)${dry:+, dry run: nothing was run}"
  echo
  while read -r gpu; do echo "- GPU $gpu"; done <<<"${gpus:-none}"
  echo
  echo "| stage | result | s |"
  echo "|---|---|---|"
} >"$report" || exit 2

# run COMMAND...: a step of a stage.
run() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  [ -n "$dry" ] || "$@"
}

ranks() { # N COMMAND...
  local n=$1
  shift
  run env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    mpirun --oversubscribe --bind-to none -n "$n" "$@"
}

stage_build() {
  run cmake --preset release -B build/gpu -DSHOAL_CUDA=ON -DSHOAL_GPU_TESTS=ON &&
    run cmake --build build/gpu -j "$(nproc)" --target gpu_suites
}

stage_slots() {
  run ctest --test-dir build/gpu -L gpu_slots --no-tests=error --output-on-failure
}

stage_goldens() {
  run ctest --test-dir build/gpu -L gpu_goldens --no-tests=error --output-on-failure
}

# Four ranks at most. NCCL takes two of them on one GPU where it is told so from 2.30 on, before where
# each seems to be on a host of its own (tests/support/mpirun.sh).
stage_ranks() {
  local shared=() nccl
  nccl=$(devices | sed -nE 's/^NCCL +2\.([0-9]+).*/\1/p')
  if [ "$n_gpus" -lt 4 ] && [ "${nccl:-0}" -ge 30 ]; then
    shared=(NCCL_MULTI_RANK_GPU_ENABLE=1)
  elif [ "$n_gpus" -lt 4 ]; then
    shared=(SHOAL_RANKS_AS_HOSTS=1)
  fi
  run env ${shared[@]+"${shared[@]}"} SHOAL_TEST_TRAIN="${on_gpu[*]}" ctest --test-dir build/gpu -R '^test_layouts$' \
    --no-tests=error --output-on-failure
}

# One step of everything on pictures small enough for a tool that runs hundreds of times slower.
sanitize() { # TOOL OPTIONS...
  run compute-sanitizer --tool "$1" --error-exitcode 9 "${@:2}" "$shoal" bench step --images 2 \
    --height 256 --width 320 --steps 1 --warmup 0 --precision bf16 "${on_gpu[@]}"
}
stage_memcheck() { sanitize memcheck; }
stage_racecheck() { sanitize racecheck; }
stage_initcheck() { sanitize initcheck; }

ap_of() { # RESULTS.json
  sed -nE '/"AP"/ { s/.*"AP": *([0-9.]+).*/\1/p; q }' "$1"
}

stage_demo() {
  local data=$logs/demo precision split ap=()
  [ -e "$data/synth" ] ||
    run "$shoal" pack synth --out "$data/synth" --images 2000 --val 200 --size 128 --seed 1 || return
  for split in train val; do
    [ -e "$data/$split.json" ] ||
      run "$shoal" pack coco --annotations "$data/synth/annotations/instances_$split.json" \
        --images "$data/synth/$split" --out "$data/$split" --shards 4 || return
  done
  for precision in fp32 bf16; do
    local out=$data/$precision words=("data.train=$data/train" "data.val=$data/val")
    words+=("${on_gpu[@]}" "train.precision=$precision")
    [ -n "$dry" ] || rm -rf "$out"
    run "$shoal" train configs/demo.yaml "${words[@]}" "train.out_dir=$out" || return
    run "$shoal" eval configs/demo.yaml "${words[@]}" \
      --weights "$out/checkpoints/latest/model.safetensors" --json "$out/metrics.json" || return
    [ -n "$dry" ] || ap+=("$(ap_of "$out/metrics.json")")
  done
  [ -n "$dry" ] && return
  echo "AP fp32 ${ap[0]}, bf16 ${ap[1]}"
  awk -v a="${ap[0]}" -v b="${ap[1]}" 'BEGIN { exit !(a > 0 && b > 0 && a - b <= 0.01 && b - a <= 0.01) }'
}

stage_allreduce() {
  ranks "$((n_gpus > 1 ? n_gpus : 1))" "$shoal" bench allreduce "${on_gpu[@]}"
}

stage_torchvision() {
  run env SHOAL_BINARY="$shoal" python3 "$tree/bench/vs_torchvision.py" --device cuda
}

failed=0
for stage in "${only[@]}"; do
  log=$logs/$stage.log
  began=$SECONDS
  echo "== $stage"
  if "stage_$stage" >"$log" 2>&1; then
    result=ok
  else
    result="FAILED (exit $?)"
    failed=1
  fi
  [ -z "$dry" ] || result="not run"
  tail -n 3 "$log"
  echo "| $stage | $result | $((SECONDS - began)) |" >>"$report"
done

fence='```'
for stage in "${only[@]}"; do
  printf '\n## %s\n\n%s\n%s\n%s\n' "$stage" "$fence" "$(tail -n 40 "$logs/$stage.log")" "$fence" >>"$report"
done
echo "gpu.sh: $report"
exit $failed
