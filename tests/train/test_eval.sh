#!/usr/bin/env bash
# shoal eval: every image once on any number of ranks, with the same detections and numbers; the
# results file gives the same numbers to shoal score; what it refuses.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
make_small_set
expect 0 "train" "$shoal" train small.yaml train.epochs=4 eval.every_epochs=0 optimizer.lr=0.002 \
  checkpoint.every_steps=0 checkpoint.every_epochs=0
weights=out/checkpoints/latest/model.safetensors
eval=("$shoal" eval small.yaml --weights "$weights" model.roi.score_threshold=0)
annotations=synth/annotations/instances_val.json

# One image at a time is the same computation on every rank: the same bits.
expect 0 "one rank" "${eval[@]}" --json 1.json --results 1.results
has "5 of 5 images evaluated"
for n in 2 3 6; do
  expect 0 "$n ranks" "$mpirun" $n "${eval[@]}" --json $n.json --results $n.results
  has "5 of 5 images evaluated"
  [ "$(grep -c 'images evaluated' log)" = 1 ] || fail "$n ranks: $(cat log)"
  same 1.json $n.json
  same 1.results $n.results
done
[ "$(grep -o '"image_id": [0-9]*' 1.results | sort -u | wc -l)" = 5 ] || fail "results of not all images"
expect 0 "score" "$shoal" score --annotations $annotations --results 1.results --json score.json
same 1.json score.json
grep -q '"AP": 0[,}]' 1.json && ! grep -Eq '"AP50": 0?\.[0-9]' 1.json && fail "nothing was detected: $(cat 1.json)"

# ---- Text ids, images without annotations
text_ids() { # "image_id": 1 -> "image_id": "no 1", and the images' own
  sed -E -e 's/("image_id": ?)([0-9]+)/\1"no \2"/g' -e 's/(\{"id": ?)([0-9]+)(, ?"file_name")/\1"no \2"\3/g' $annotations
}
text_ids >text.json
expect 0 "pack text ids" "$shoal" pack coco --annotations text.json --images synth/val --out data/text --shards 2
expect 0 "text ids" "$mpirun" 2 "${eval[@]}" data.val=data/text --json text.out --results text.results
grep -q '"image_id": "no 1"' text.results || fail "no text ids: $(head -c 300 text.results)"
same 1.json text.out
expect 0 "score text ids" "$shoal" score --annotations text.json --results text.results --json score.json
same text.out score.json
sed -E 's/"annotations": ?\[.*\]/"annotations": []/' $annotations | tr -d '\n' |
  sed -E 's/"annotations": ?\[.*\}\](, ?"categories"|\})/"annotations": []\1/' >none.json
expect 0 "pack no annotations" "$shoal" pack coco --annotations none.json --images synth/val --out data/none --shards 1
expect 0 "no annotations" "$mpirun" 2 "${eval[@]}" data.val=data/none --json none.out --results none.results
has "5 of 5 images evaluated"
grep -q '"AP": -1' none.out || fail "AP without ground truth: $(cat none.out)"
same 1.results none.results

# ---- Refused, in one line
says() {
  local code=$1 text=$2
  shift 2
  expect "$code" "$text" "$@"
  has "$text"
  has_errors 1
}
says 1 "cannot open none.safetensors" "$mpirun" 2 "$shoal" eval small.yaml --weights none.safetensors
says 1 "has shape" "$mpirun" 2 "${eval[@]}" model.roi.hidden=16
says 1 "is missing" "$mpirun" 2 "${eval[@]}" model.backbone=resnet34
says 1 "nowhere/o.json" "$mpirun" 2 "${eval[@]}" --json nowhere/o.json
sed 's/"circle"/"disc"/' $annotations >other.json
expect 0 "pack other labels" "$shoal" pack coco --annotations other.json --images synth/val --out data/other --shards 1
says 2 "labels disagree" "$mpirun" 2 "${eval[@]}" data.val=data/other
head -c 100000 $weights >cut.safetensors
says 1 "cut.safetensors" "$mpirun" 2 "$shoal" eval small.yaml --weights cut.safetensors
shard=$(find data -name 'val.record-00001-of-?????')
printf '\x55' | dd of="$shard" bs=1 seek=$(($(stat -c %s "$shard") / 2)) conv=notrunc status=none
says 1 "val.record-00001-of-00002" "$mpirun" 2 "${eval[@]}" --json bad.json --results bad.results
if [ -e bad.json ] || [ -e bad.results ]; then fail "files of a failed evaluation"; fi
finish
