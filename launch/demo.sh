#!/usr/bin/env bash
# The whole of Shoal in one command: installs, builds, makes or takes a data set, trains on two ranks,
# evaluates, draws detections.
#
#   ./launch/demo.sh                                    coloured shapes, made on the spot
#   ./launch/demo.sh --coco DIR [--init F.safetensors] [key=value ...]
#                                                       your COCO copy: annotations/, train2017/, val2017/
# Further key=value arguments go to `shoal train` in both cases. RANKS=N changes the number of ranks.
set -euo pipefail
cd "$(dirname "$0")/.."
ranks=${RANKS:-2}
coco='' init='' overrides=()

usage() {
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
}

fail() {
  echo "demo.sh: $*" >&2
  exit 2
}

while [ $# -gt 0 ]; do
  case $1 in
    --coco) coco=${2:?demo.sh: --coco wants a folder}; shift 2 ;;
    --init) init=${2:?demo.sh: --init wants a safetensors file}; shift 2 ;;
    --help | -h) usage; exit 0 ;;
    *=*) overrides+=("$1"); shift ;;
    *) fail "what is $1? see --help" ;;
  esac
done
[ -z "$init" ] || [ -n "$coco" ] || fail "--init goes with --coco"
[ -z "$init" ] || [ -r "$init" ] || fail "cannot read $init"

say() {
  printf '\n== %s\n' "$*"
}

# Ranks on one machine: also as root, and with more ranks than cores.
run_ranks() {
  local progress=plain # under mpirun, stderr is a pipe even where somebody watches
  [ -t 2 ] && progress=live
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    mpirun --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 \
    --mca btl_vader_single_copy_mechanism none -x SHOAL_PROGRESS="$progress" -n "$ranks" "$@"
}

override_or() { # key, standard: the value that the command line gave last
  local o value=$2
  for o in ${overrides[@]+"${overrides[@]}"}; do
    case $o in "$1="*) value=${o#*=} ;; esac
  done
  printf '%s' "$value"
}

shoal=build/release/shoal

build() {
  say "Debian packages"
  ./ci/install-deps.sh
  began=$SECONDS
  say "Building"
  cmake --preset release -DSHOAL_TESTS=OFF >build-demo.log 2>&1 || { cat build-demo.log >&2; exit 1; }
  cmake --build --preset release >build-demo.log 2>&1 || { cat build-demo.log >&2; exit 1; }
  rm -f build-demo.log
}

pack_coco() { # split
  local annotations=$coco/annotations/instances_$1.json
  [ -r "$annotations" ] || fail "cannot read $annotations"
  [ -d "$coco/$1" ] || fail "no folder $coco/$1"
  [ -e "data/coco/${1%2017}.json" ] && return
  "$shoal" pack coco --annotations "$annotations" --images "$coco/$1" \
    --out "data/coco/${1%2017}" --shards 16 --jobs "$(nproc)"
}

make_shapes() {
  [ -e data/demo/train.json ] && return
  "$shoal" pack synth --out data/demo/synth --images 2000 --val 200 --size 128 --seed 1
  local split
  for split in train val; do
    "$shoal" pack coco --annotations "data/demo/synth/annotations/instances_$split.json" \
      --images "data/demo/synth/$split" --out "data/demo/$split" --shards 4 --jobs "$(nproc)"
  done
}

train() { # config, overrides
  run_ranks "$shoal" train "$@" ${overrides[@]+"${overrides[@]}"} --resume auto
}

demo_shapes() {
  local out
  out=$(override_or train.out_dir runs/demo)
  say "Making 2,000 training and 200 held-out pictures"
  make_shapes
  say "Training on $ranks ranks"
  rm -rf runs/demo runs/demo-start # but nothing that the command line named
  # One step of warm-up: a model that has seen next to nothing, for the pictures on the left.
  SHOAL_LOG=warn "$shoal" train configs/demo.yaml train.max_steps=1 eval.every_epochs=0 \
    train.out_dir=runs/demo-start 'expect.bbox_ap50=[]'
  train configs/demo.yaml train.out_dir="$out"
  say "Evaluating"
  run_ranks "$shoal" eval configs/demo.yaml --weights "$out/checkpoints/latest/model.safetensors" \
    --json "$out/metrics.json" --results "$out/results.json"
  say "Drawing detections on held-out pictures: before training on the left, after on the right"
  local pictures=()
  mapfile -t pictures < <(find data/demo/synth/val -name '*.jpg' | sort | sed -n 1,12p)
  "$shoal" detect --weights "$out/checkpoints/latest/model.safetensors" \
    --compare runs/demo-start/checkpoints/latest/model.safetensors --score 0.5 \
    --out "$out/pictures" "${pictures[@]}"
  say "Done in $((SECONDS - began)) s since the packages were in place"
  echo "data          data/demo/train, data/demo/val (pictures in data/demo/synth)"
  echo "log           $out/metrics.jsonl"
  echo "weights       $out/checkpoints/latest/model.safetensors"
  echo "metrics       $out/metrics.json"
  echo "pictures      $out/pictures"
}

demo_coco() {
  local config=configs/coco_r50_fpn_gn.yaml out
  out=$(override_or train.out_dir runs/coco)
  say "Packing $coco"
  pack_coco train2017
  pack_coco val2017
  if [ -n "$init" ]; then
    config=configs/coco_r50_fpn.yaml
    overrides=("train.init=$init" ${overrides[@]+"${overrides[@]}"})
  fi
  if [ -z "$(override_or train.max_steps '')" ]; then
    echo "On CPUs training stops after 200 steps (train.max_steps=200); give another value to go on."
    overrides=(train.max_steps=200 ${overrides[@]+"${overrides[@]}"})
  fi
  # The recipe's AP is reached by all of its steps only.
  overrides=('expect.bbox_ap=[]' ${overrides[@]+"${overrides[@]}"})
  say "Training $config on $ranks ranks"
  train "$config" data.train=data/coco/train data.val=data/coco/val train.out_dir="$out"
  say "Drawing detections on held-out pictures"
  local pictures=()
  mapfile -t pictures < <(find "$coco/val2017" -name '*.jpg' | sort | sed -n 1,8p)
  "$shoal" detect --weights "$out/checkpoints/latest/model.safetensors" --out "$out/pictures" \
    "${pictures[@]}"
  say "Done in $((SECONDS - began)) s since the packages were in place"
  echo "log           $out/metrics.jsonl"
  echo "weights       $out/checkpoints/latest/model.safetensors"
  echo "pictures      $out/pictures"
}

build
if [ -n "$coco" ]; then demo_coco; else demo_shapes; fi
