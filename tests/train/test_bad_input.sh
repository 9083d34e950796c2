#!/usr/bin/env bash
# Annotations, images, records, weights, configs and arguments that are broken: each is refused in
# one line that names the place, and nothing is left behind. See support/bad_input.sh.
set -uo pipefail
# shellcheck source=tests/support/bad_input.sh
. "${SHOAL_SOURCE_DIR:?}/tests/support/bad_input.sh"

pack() { # WHAT CODE WORDS JSON [OPTION ...]
  local code=$1 words=$2 json=$3
  shift 3
  refused "$code" "$words" "$shoal" pack coco --annotations "$json" --images synth/train \
    --out out/x --shards 1 "$@"
}

try_annotations() {
  local head='{"images":[{"id":1,"file_name":"000001.jpg"}],"categories":[{"id":1,"name":"x"}],'
  pack 1 'cannot open nowhere.json' nowhere.json
  pack 1 'not a plain file' synth
  printf '' >a.json && pack 1 'a.json' a.json
  printf '[]' >a.json && pack 1 'a.json:1: want an object, not an array' a.json
  printf '{}' >a.json && pack 1 'no "images" in it' a.json
  printf '%s' "$head" >a.json && pack 1 'a.json:1: not JSON' a.json
  printf '%s"annotations":[{"id":7,"image_id":2,"category_id":1,"bbox":[0,0,1,1]}]}' "$head" >a.json
  pack 1 'annotation 7: image id 2 is not among the images' a.json
  printf '%s"annotations":[{"id":7,"image_id":1,"category_id":4,"bbox":[0,0,1,1]}]}' "$head" >a.json
  pack 1 'annotation 7: category' a.json
  printf '%s"annotations":[{"id":7,"image_id":1,"category_id":1,"bbox":[0,0,1e400,1]}]}' "$head" >a.json
  pack 1 'a.json' a.json
  printf '%s"annotations":[]}' "${head/000001/nowhere}" >a.json
  pack 1 'image id 1: cannot open synth/train/nowhere.jpg' a.json
  printf '%s"annotations":[]}' "${head/\"id\":1,/\"id\":1,\"width\":31,\"height\":32,}" >a.json
  pack 1 'image id 1: ' a.json
  pack 2 'out/x' a.json --skip-bad
  local size
  size=$(stat -c %s synth/annotations/instances_train.json)
  for at in 1 99 $((size / 2)) $((size - 3)); do
    head -c "$at" synth/annotations/instances_train.json >a.json
    pack 1 'a.json:' a.json
  done
}

# set_jpeg_size FILE BYTES: writes height and width (four escaped bytes) into the frame header.
set_jpeg_size() {
  local at
  at=$(LC_ALL=C grep -obUaP '\xff[\xc0-\xc2]' "$1" | sed -n 1p)
  # shellcheck disable=SC2059 # the format is the bytes
  printf "$2" | dd of="$1" bs=1 seek=$((${at%%:*} + 5)) conv=notrunc status=none
}

try_images() {
  mkdir images
  echo '{"images":[{"id":1,"file_name":"a.jpg"}],"annotations":[],"categories":[{"id":1,"name":"x"}]}' >a.json
  local at size
  size=$(stat -c %s synth/train/000001.jpg)
  for at in 0 1 2 20 $((size / 3)) $((size / 2)); do
    head -c "$at" synth/train/000001.jpg >images/a.jpg
    refused 1 'a.json: image id 1: images/a.jpg: JPEG: ' "$shoal" pack coco --annotations a.json \
      --images images --out out/x --shards 1
  done
  cp synth/train/000001.jpg images/a.jpg
  for at in '\xff\xff\xff\xff' '\xff\xdc\xff\xdc'; do # 65,535 and 65,500 square
    set_jpeg_size images/a.jpg "$at"
    refused 1 'a.json: image id 1: images/a.jpg: JPEG: ' "$shoal" pack coco --annotations a.json \
      --images images --out out/x --shards 1
  done
  for ((at = 0; at < size; at += size / 16)); do
    cp synth/train/000001.jpg images/a.jpg
    flip images/a.jpg "$at"
    survives "$shoal" pack coco --annotations a.json --images images --out out/x --shards 1
    rm -rf out
  done
}

try_records() {
  local file at size
  cp -r set good
  for file in train.json train.record-00000-of-00002 train.record-00001-of-00002.idx; do
    size=$(stat -c %s "good/$file")
    for ((at = 3; at < size; at += 1 + size / 8)); do
      flip "set/$file" "$at"
      survives_many "$shoal" verify set/train
      cp "good/$file" set/
      head -c "$at" "good/$file" >"set/$file"
      survives_many "$shoal" verify set/train
      refused 1 "set/$file" "$shoal" train tiny.yaml
      cp "good/$file" set/
    done
    rm "set/$file"
    survives_many "$shoal" verify set/train
    refused 1 "set/$file" "$shoal" train tiny.yaml
    cp "good/$file" set/
  done
  refused 1 'nowhere/x.json' "$shoal" verify nowhere/x
  survives "$shoal" verify set/train
  [ "$code" -eq 0 ] || complain "the repaired set is not good"
}

# verify says a line for every problem and one for their number.
survives_many() {
  listing >../before
  code=0
  command="$*"
  "$@" >../out 2>../err || code=$?
  n_run=$((n_run + 1))
  if [ "$code" -ne 1 ]; then
    complain "want exit 1"
  elif grep -qav '^shoal: error: .*set/train\.' <(sed -n 1p ../err) || grep -qav '^shoal: ' ../err; then
    complain "want a line that names the file"
  fi
}

try_weights() {
  local at size header image=synth/train/000001.jpg
  survives "$shoal" train tiny.yaml
  [ "$code" -eq 0 ] || complain "no weights"
  mv run/checkpoints/step-00000001/model.safetensors good.safetensors
  rm -r run
  size=$(stat -c %s good.safetensors)
  header=$(od -An -t u8 -N 8 good.safetensors)
  for at in 0 7 8 100 $((header + 7)) $((header + 8)) $((size - 1)); do
    head -c "$at" good.safetensors >w.safetensors
    refused 1 'w.safetensors: ' "$shoal" detect --weights w.safetensors --out out "$image"
  done
  for at in 100 $((size - 1)); do
    head -c "$at" good.safetensors >w.safetensors
    refused 1 'w.safetensors: ' "$shoal" train tiny.yaml train.init=w.safetensors
    refused 1 'w.safetensors: ' "$shoal" eval tiny.yaml --weights w.safetensors
  done
  cp good.safetensors w.safetensors
  for at in 1 3 5 7 8 9 $((header + 6)) $((header + 7)); do
    flip w.safetensors "$at"
    refused 1 'w.safetensors: ' "$shoal" detect --weights w.safetensors --out out "$image"
    flip w.safetensors "$at"
  done
  local bits # of the last float: NaN and both infinities
  for bits in '\x01\x00\xc0\x7f' '\x00\x00\x80\x7f' '\x00\x00\x80\xff'; do
    head -c $((size - 4)) good.safetensors >w.safetensors
    # shellcheck disable=SC2059 # the format is the bytes
    printf "$bits" >>w.safetensors
    refused 1 'w.safetensors: roi_heads.box_predictor.bbox_pred.bias[35] is not a finite' "$shoal" train tiny.yaml train.init=w.safetensors
    refused 1 'is not a finite number' "$shoal" eval tiny.yaml --weights w.safetensors
    refused 1 'is not a finite number' "$shoal" detect --weights w.safetensors --out out "$image"
  done
  cp good.safetensors w.safetensors
  printf 'x' >>w.safetensors
  refused 1 'w.safetensors: ' "$shoal" detect --weights w.safetensors --out out "$image"
  refused 1 'cannot open nowhere' "$shoal" detect --weights nowhere --out out "$image"
  refused 1 'cannot open nowhere.jpg' "$shoal" detect --weights good.safetensors --out out nowhere.jpg
  refused 1 'tiny.yaml: JPEG: ' "$shoal" detect --weights good.safetensors --out out tiny.yaml
  weights=good.safetensors
}

config() { # CODE WORDS TEXT
  printf '%b' "$3" >c.yaml
  refused "$1" "$2" "$shoal" train c.yaml
}

try_configs() {
  refused 1 'cannot open nowhere.yaml' "$shoal" train nowhere.yaml
  refused 1 'set' "$shoal" train set
  config 1 'c.yaml: wants keys with values' 'hello\n'
  config 1 'c.yaml:2:1: no YAML: tab' 'model:\n\tname: x\n'
  config 1 'c.yaml:2:3: unknown key train.sede; the nearest known key is train.seed' 'train:\n  sede: 1\n'
  config 1 'c.yaml:2:1: train stands here a second time' 'train: {seed: 1}\ntrain: {batch: 2}\n'
  config 1 'c.yaml:1:16: train.batch: got two, want a whole number' 'train: {batch: two}\n'
  config 1 'c.yaml:1:16: train.batch: got -1, want a whole number' 'train: {batch: -1}\n'
  config 1 'optimizer.lr: got nan' 'optimizer: {lr: nan}\n'
  config 1 'no YAML: ' 'train: {seed: 1\n'
  config 1 'leads back to itself' 'base: c.yaml\n'
  config 1 'cannot open ./nowhere.yaml' 'base: nowhere.yaml\n'
  config 1 'c.yaml:2: no YAML: byte 0x00 at 17' 'train: {seed: 1}\n\x00batch\n'
  config 1 'c.yaml:1: no YAML: byte 0xff at 0' '\xff\xfet\x00'
  config 1 'c.yaml:1: no YAML: byte 0xa6 at 2' '%"\xa6' # the parser never came back
  config 1 'depth' "$(printf '[%.0s' {1..500})"
  refused 2 'argument train.batch: want key=value' "$shoal" train tiny.yaml train.batch
  refused 2 'the nearest known key is train.batch' "$shoal" train tiny.yaml train.batc=3
  refused 2 'train.batch: got 1e9, want a whole number' "$shoal" train tiny.yaml train.batch=1e9
  refused 1 'tiny.yaml' "$shoal" train tiny.yaml train.out_dir=tiny.yaml
  refused 1 'nowhere' "$shoal" train tiny.yaml --resume nowhere
  refused 2 'no command "swim"' "$shoal" swim
  refused 2 '--shards' "$shoal" pack coco --annotations a --images b --out c --shards 0
}

# Few anchors and proposals, of which the samplers want more: memory for all they can get.
try_small_canvas() {
  survives "$shoal" train tiny.yaml 'model.rpn.aspect_ratios=[1]' model.roi.batch_per_image=512 \
    checkpoint.every_epochs=0
  [ "$code" -eq 0 ] || complain "a small canvas"
  rm -rf run
}

try_scores() {
  local truth=synth/annotations/instances_train.json
  score() { # WORDS JSON
    printf '%s' "$2" >r.json
    refused 1 "$1" "$shoal" score --annotations "$truth" --results r.json --json o.json --arrays o.safetensors
  }
  score 'r.json' ''
  score 'r.json:1: want an array of objects' '{}'
  score 'r.json' '[{"image_id":1,"category_id":1,"bbox":[1,2,3,4],"score":0.5}'
  score 'r.json: result 0' '[{"image_id":1,"category_id":1,"bbox":[1,2,3],"score":0.5}]'
  score 'r.json: result 0' '[{"image_id":1,"category_id":1,"bbox":[1,2,3,1e999],"score":0.5}]'
  score 'r.json: result 0: image id 77 is not among the images' '[{"image_id":77,"category_id":1,"bbox":[1,2,3,4],"score":0.5}]'
  score 'r.json' '[1]'
}

# Whatever else lies beside the checkout: no crash, no second line.
try_shared_data() {
  local shared=$SHOAL_SOURCE_DIR/../shared/data file
  if [ ! -d "$shared" ]; then
    echo "no ../shared/data: its files are left out"
    return
  fi
  while IFS= read -r file; do
    survives "$shoal" pack coco --annotations "$file" --images "${file%/*}" --out out/x --shards 2
    rm -rf out
    survives "$shoal" score --annotations "$file" --results "$shared/coco_eval/instances_val2014_fakebbox100_results.json"
    survives "$shoal" score --annotations "$shared/coco_eval/instances_val2014_100.json" --results "$file"
  done < <(find "$shared/" -name '*.json')
  for file in "$shared"/jpeg_odd/*.jp*g; do
    printf '{"images":[{"id":1,"file_name":"%s"}],"annotations":[],"categories":[{"id":1,"name":"x"}]}' \
      "${file##*/}" >a.json
    survives "$shoal" pack coco --annotations a.json --images "$shared/jpeg_odd" --out out/x --shards 1
    rm -rf out
  done
  survives "$shoal" pack coco --annotations a.json --images "$shared/jpeg_odd" --out out/x --shards 1 --skip-bad
  rm -rf out
  for file in "$shared"/jpeg_odd/{jpegcrash,jpegdec__moz}*.jpg; do
    survives "$shoal" detect --weights "$weights" --out out "$file"
    rm -rf out
  done
}

make_set
try_annotations
try_images
try_records
try_weights
try_configs
try_small_canvas
try_scores
try_shared_data
report
