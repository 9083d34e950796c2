#!/usr/bin/env bash
# shoal detect: pictures and results.json from a weights file alone, the same detections as shoal eval,
# and what it refuses.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
make_small_set
expect 0 "train" "$shoal" train small.yaml train.epochs=1 eval.every_epochs=0 checkpoint.keep=9
weights=out/checkpoints/latest/model.safetensors
images=(synth/val/*.jpg)

is_png() {
  [ "$(od -An -tx1 -N8 "$1" 2>/dev/null | tr -d ' \n')" = 89504e470d0a1a0a ] || fail "$1 is no PNG"
}
width() { # of a PNG
  od -An -tu1 -j16 -N4 "$1" | awk '{ print (($1 * 256 + $2) * 256 + $3) * 256 + $4 }'
}

expect 0 "detect" "$shoal" detect --weights $weights --score 0.02 --out pictures "${images[@]}"
has "5 pictures and results.json in pictures"
for i in "${images[@]}"; do is_png "pictures/$(basename "$i" .jpg).png"; done
[ "$(find pictures -type f | wc -l)" = 6 ] || fail "files: $(ls pictures)"
expect 0 "eval" "$shoal" eval small.yaml --weights $weights --results eval.json
# Detections of the weights' own settings on the same pixels: the same file, ids and all.
same pictures/results.json eval.json
expect 0 "settings of a config" "$shoal" detect --weights $weights --config small.yaml --out again "${images[@]}"
same pictures/results.json again/results.json

expect 0 "before and after" "$shoal" detect --weights $weights \
  --compare out/checkpoints/step-00000002/model.safetensors --out both "${images[0]}"
is_png "both/$(basename "${images[0]}" .jpg).png"
one=$(width "pictures/$(basename "${images[0]}" .jpg).png")
two=$(width "both/$(basename "${images[0]}" .jpg).png")
[ "$two" -ge $((2 * one)) ] || fail "two pictures side by side are $two wide, one is $one"

# ---- Refused, in one line
says() {
  local code=$1 text=$2
  shift 2
  rm -rf no
  expect "$code" "$text" "$shoal" detect --out no "$@"
  has "$text"
  has_errors 1
  [ ! -e no/results.json ] || fail "$text: left results.json"
}
head -c 700 "${images[0]}" >broken.jpg
: >empty.jpg
cp "${images[0]}" synth/0.jpg
says 1 "empty.jpg" --weights $weights empty.jpg
says 1 "cannot open none.jpg" --weights $weights "${images[0]}" none.jpg
says 1 "small.yaml" --weights $weights small.yaml
says 1 "cannot open none.safetensors" --weights none.safetensors "${images[0]}"
says 2 "would both become 0.png" --weights $weights synth/0.jpg ./synth/0.jpg
says 2 "--weights F is missing" "${images[0]}"
says 2 "score" --weights $weights --score 2 "${images[0]}"
expect bad "a picture cut short" "$shoal" detect --out no --weights $weights broken.jpg
has "broken.jpg"
# A file without metadata: its settings and categories are nobody's guess.
stripped() { # safetensors without its __metadata__
  local n header
  n=$(od -An -tu8 -N8 $weights | tr -d ' ')
  header=$(dd if=$weights bs=1 skip=8 count="$n" status=none | sed -E 's/"__metadata__": ?\{([^"}]|"([^"\\]|\\.)*")*\}, ?//')
  while [ $((${#header} % 8)) -ne 0 ]; do header="$header "; done
  # shellcheck disable=SC2059 # the length's bytes, little-endian
  printf "$(printf '\\x%02x' $((${#header} & 255)) $(((${#header} >> 8) & 255)) $(((${#header} >> 16) & 255)))\\0\\0\\0\\0\\0"
  printf '%s' "$header"
  tail -c +$((9 + n)) $weights
}
stripped >bare.safetensors
says 2 "bare.safetensors" --weights bare.safetensors "${images[0]}"
expect 0 "bare weights evaluate" "$shoal" eval small.yaml --weights bare.safetensors --results bare.json
same bare.json eval.json
touch file
expect 1 "out is a file" "$shoal" detect --out file --weights $weights "${images[0]}"
has "file"
finish
