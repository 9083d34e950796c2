#!/usr/bin/env bash
# shoal config: every key with its value, from defaults, base files, the file and overrides; what it prints
# is a config again, and what is wrong is named with its place.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
mkdir parts
cat >parts/base.yaml <<'END'
train: {batch: 8, seed: 3}
optimizer: {lr: 0.5}
END
cat >run.yaml <<'END'
base: parts/base.yaml
train: {batch: 6, out_dir: "a b: c"}
input: {canvases: [[64, 96], [96, 64]]}
expect: {bbox_ap: [37.0, 0.4]}
END
config=("$shoal" config run.yaml)

# ---- Defaults, the base, the file and overrides, the later over the earlier
value() { # KEY WANTED [key=value ...]
  local key=$1 wanted=$2
  shift 2
  expect 0 "$key" "${config[@]}" "$@" --key "$key"
  [ "$(cat log)" = "$wanted" ] || fail "$key is $(cat log), want $wanted"
}
value optimizer.momentum 0.9
value optimizer.lr 0.5
value train.seed 3
value train.batch 6
value train.batch 4 train.batch=12 train.batch=4
value train.out_dir "a b: c"
value input.canvases "[[64, 96], [96, 64]]"
value model.rpn.aspect_ratios "[0.5, 1, 2]"
value schedule.milestones "[3, 5]" "schedule.milestones=[3, 5]"

# ---- All keys: a config that comes to itself
expect 0 "all keys" "${config[@]}" train.epochs=5
cp log all.yaml
expect 0 "its own output" "$shoal" config all.yaml
same log all.yaml
grep -q '^  epochs: 5$' all.yaml || fail "no override in $(cat all.yaml)"
[ "$(grep -c ': ' all.yaml)" -ge 70 ] || fail "only $(grep -c ': ' all.yaml) keys"
expect 0 "a dump with another override" "$shoal" config all.yaml train.epochs=6
[ "$(diff log all.yaml | grep -c '^[<>]')" = 2 ] || fail "one override, more lines: $(diff log all.yaml)"

# ---- What is wrong
printf 'train:\n  bach: 4\n' >wrong.yaml
expect 1 "an unknown key" "$shoal" config wrong.yaml
has "wrong.yaml:2:3: "
has "train.bach"
has "train.batch"
expect 2 "an unknown override" "${config[@]}" optimiser.lr=1
has "optimizer.lr"
expect 2 "a key to print that is unknown" "${config[@]}" --key train.bach
has "train.batch"
expect 2 "a value out of its range" "${config[@]}" train.batch=0
has "train.batch"
expect 2 "keys that do not fit together" "${config[@]}" input.min_size=900 input.max_size=800
has "input.min_size"
expect bad "no file" "$shoal" config nowhere.yaml
has "nowhere.yaml"
expect 2 "nothing to read" "$shoal" config
finish
