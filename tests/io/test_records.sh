#!/usr/bin/env bash
# The record commands as a user types them: what they print, what they leave, how they end.
set -u
work=$(mktemp -d /tmp/shoal-records-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
golden=$SHOAL_SOURCE_DIR/tests/golden
failed=0

# expect EXIT_CODE WORDS COMMAND...: the command ends so, and says these words somewhere
expect() {
  local want=$1 words=$2 got
  shift 2
  "$@" >out.txt 2>err.txt </dev/null
  got=$?
  if [ $got -ne "$want" ] || ! grep -qF -- "$words" out.txt err.txt; then
    echo "FAIL: $* ended with $got, want $want and \"$words\":"
    cat out.txt err.txt
    failed=1
  fi
}
fail() {
  echo "FAIL: $1"
  failed=1
}
# all_there FILE...: none is missing or empty
all_there() {
  local file
  for file; do [ -s "$file" ] || fail "no $file"; done
}
one_error_line() {
  if [ "$(grep -c 'shoal: error:' err.txt)" -ne 1 ] || [ "$(wc -l <err.txt)" -ne 1 ]; then
    echo "FAIL: not one line of error:"
    cat err.txt
    failed=1
  fi
}
shoal=$SHOAL_BINARY

mkdir images
cp "$golden"/jpeg/rgb_420_45x61.jpg images/a.jpg
cp "$golden"/jpeg/gray_29x41.jpg images/b.jpg
cp "$golden"/jpeg/cmyk_37x26.jpg images/c.jpg
cp "$golden"/jpeg/rgb_420_45x61_no_end.jpg images/d.jpg
cat >good.json <<'JSON'
{"images": [{"id": 1, "file_name": "a.jpg", "height": 45, "width": 61}, {"id": "b", "file_name": "b.jpg"},
            {"id": 3, "file_name": "c.jpg"}],
 "annotations": [{"id": 0, "image_id": 1, "category_id": 2, "bbox": [1.5, 2, 30, 40.25]},
                 {"id": 9, "image_id": "b", "category_id": 1, "bbox": [-4, 2, 60, 20], "area": 7, "iscrowd": 1}],
 "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "caf\u00e9"}]}
JSON

expect 2 'no command given' "$shoal" pack
one_error_line
expect 2 '--shards S is missing' "$shoal" pack coco --annotations good.json --images images --out d/x
one_error_line
expect 2 'is no option' "$shoal" verify d/x --deep
expect 2 'want 1 to 99999' "$shoal" pack coco --annotations good.json --images images --out d/x --shards 0
expect 2 'exclude each other' "$shoal" pack coco --annotations good.json --images images --out d/x --shards 1 --labels ids --labels-from d/y
expect 2 'NAME=FRACTION' "$shoal" pack coco --annotations good.json --images images --out d/x --shards 1 --split train
expect 0 'usage: shoal pack coco' "$shoal" pack coco --help
expect 1 'no such.json' "$shoal" pack coco --annotations 'no such.json' --images images --out d/x --shards 1
one_error_line
expect 1 'shoal pack' "$shoal" inspect d/x

expect 0 'd/x: 3 images (2 with boxes), 2 boxes (1 crowds, 0 without area, 1 past the edge), 2 categories, 3 outputs, 2 shards' \
  "$shoal" pack coco --annotations good.json --images images --out d/x --shards 2
grep -qF 'id 0, which pycocotools never counts as matched' err.txt || fail 'no warning of id 0'
expect 0 'd/x: 3 records, every checksum and every JPEG is good' "$shoal" verify d/x
expect 0 'images             3, 2 of them with boxes' "$shoal" inspect d/x
expect 0 '"name": "café", "boxes": 1' "$shoal" inspect d/x --json --draw pictures
all_there pictures/1.png pictures/b.png pictures/3.png
[ "$(find d -mindepth 1 | wc -l)" -eq 6 ] || fail "files of d: $(find d)"
[ "$(head -c 2 d/x.record-00000-of-00002.idx)" = "0 " ] || fail 'index'

sed 's/c.jpg/d.jpg/' good.json >bad.json
expect 1 'image id 3: images/d.jpg: JPEG: ' "$shoal" pack coco --annotations bad.json --images images --out e/x --shards 1
[ ! -e e ] || fail 'something is left in e'
expect 0 '1 images and 0 annotations were skipped' "$shoal" pack coco --annotations bad.json --images images --out e/x --shards 1 --skip-bad
expect 0 'e/x: 2 records' "$shoal" verify e/x
expect 0 '' "$shoal" pack coco --annotations good.json --images images --out f/x --shards 1 --split train=0.67,val=0.33 --seed 3
all_there f/x-train.json f/x-val.json

printf 'X' | dd of=d/x.record-00001-of-00002 bs=1 seek=300 conv=notrunc 2>/dev/null
expect 1 'd/x.record-00001-of-00002: record 0 at byte 0 (image b): the content' "$shoal" verify d/x
expect 1 'd/x.record-00001-of-00002' "$shoal" inspect d/x
expect 1 'd/x.record-00001-of-00002' "$shoal" index d/x

mkdir g
for s in 0 1; do cp "$golden/records/theirs.record-0000$s-of-00002" "g/t.tfrecord-0000$s-of-00002"; done
expect 0 'g/t: 4 images (2 with boxes), 4 boxes, 3 categories, 2 shards' "$shoal" index g/t
expect 0 '4 records' "$shoal" verify g/t
expect 1 'has no name among the labels' "$shoal" index g/t --labels d/x.pbtxt
expect 0 'dog' "$shoal" inspect g/t

# SHOAL_LOG=debug shows where an error came from
SHOAL_LOG=debug "$shoal" verify nowhere/x 2>&1 | grep 'at .*verify.c' >/dev/null || fail 'no back trace'
exit $failed
