#!/usr/bin/env bash
# Boxes that nobody drew, and more than anybody would: they are packed, verified, looked at, scored
# against and trained on all the same; what is no number is refused. See support/bad_input.sh.
set -uo pipefail
# shellcheck source=tests/support/bad_input.sh
. "${SHOAL_SOURCE_DIR:?}/tests/support/bad_input.sh"

# boxes N BBOX...: a.json of one picture with N boxes of each kind, and one that is good; a BBOX is
# for awk's printf, which has two numbers to give.
boxes() {
  local n=$1
  shift
  printf '%s\n' "$@" | awk -v n="$n" 'BEGIN {
    print "{\"images\": [{\"id\": 1, \"file_name\": \"000001.jpg\"}], \"categories\": [{\"id\": 1}], \"annotations\": ["
  } {
    for (i = 0; i < n; i++)
      printf "{\"id\":%d,\"image_id\":1,\"category_id\":1,\"area\":1,\"bbox\":[%s]},\n", ++id, sprintf($0, i % 20, i % 19)
  } END { print "{\"id\":0,\"image_id\":1,\"category_id\":1,\"area\":9,\"bbox\":[4,4,9,9]}]}" }' >a.json
}

works() {
  survives "$@"
  [ "$code" -eq 0 ] || complain "want exit 0"
}

pack_boxes() {
  rm -rf boxes run
  works "$shoal" pack coco --annotations a.json --images synth/train --out boxes/train --shards 1
  works "$shoal" verify boxes/train
  works "$shoal" inspect boxes/train
  works "$shoal" score --annotations a.json --results r.json
}

train_boxes() {
  works "$shoal" train tiny.yaml data.train=boxes/train data.val=boxes/train train.batch=1
}

make_set
echo '[{"image_id":1,"category_id":1,"bbox":[4,4,9,10],"score":0.5}]' >r.json
boxes 2 '1e308, -1e308, 1e308, 1e308' '-1e308, 3, 1e308, 4' '5, 6, -7, -8' '5, 6, -7, 8' \
  '1e-320, 0, 1e-320, 0' '-3, -3, 2, 2' '40, 40, 2, 2' '4e9, 4e9, 4e9, 4e9' '-4e9, 0, 8e9, 9' \
  '2147483647, 2, 2147483647, 3' '9, 9, 0, 0'
pack_boxes
train_boxes
for value in NaN nan -Infinity 1e309 '"5"' null; do
  boxes 1 "1, 2, $value, 4"
  refused 1 'a.json' "$shoal" pack coco --annotations a.json --images synth/train --out out/x --shards 1
done
boxes 20000 '%d, %d, 3, 4'
pack_boxes
train_boxes
boxes 1000000 '%d, %d, 3, 4'
pack_boxes
train_boxes
report
