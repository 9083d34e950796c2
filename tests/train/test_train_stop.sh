#!/usr/bin/env bash
# A run asked to stop saves the same step on all ranks and leaves with 7, whenever it is asked: before
# its first step, in a step, while a checkpoint is written, in an evaluation, by a signal to mpirun or
# to one rank. Resumed over and over, it ends as one that was left alone, to the byte.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
make_small_set
expect 0 "many pictures" "$shoal" pack synth --out many --images 60 --val 0 --size 64 --seed 4
expect 0 "pack many" "$shoal" pack coco --out data/many --shards 2 --images many/train \
  --annotations many/annotations/instances_train.json
settings=(eval.every_epochs=1 optimizer.name=sgd optimizer.lr=0.01 checkpoint.keep=20
  "data.train=$work/data/train" "data.val=$work/data/many")
mkdir alone stopped

# start FOLDER COMMAND...: in the background; its process is $run, its output $work/log.
start() {
  folder=$1
  shift
  : >"$work/log" # here and now: until_exists looks at it
  (cd "$folder" && exec "$@") >"$work/log" 2>&1 &
  run=$!
}

# until_exists PATTERN: a file or folder of this name, and the run has begun (before, a signal would
# end it, or what is still this shell with its trap); or the run is over.
until_exists() {
  while kill -0 "$run" 2>/dev/null && ! { grep -q 'steps in all' log && compgen -G "$1" >/dev/null; }; do sleep 0.005; done
}

# ends CODE WHAT
ends() {
  wait "$run"
  local code=$?
  [ $code -eq "$1" ] || fail "$2: exit $code, want $1: $(cat "$work/log")"
}

# saved WHAT: the run left with 7, said once where it saved, and that checkpoint is the last.
saved() {
  ends 7 "$1"
  [ "$(grep -c 'stopped on request after step' log)" = 1 ] || fail "$1: $(cat log)"
  local step
  step=$(sed -nE 's/.*stopped on request after step ([0-9]+).*/\1/p' log)
  [ "$(readlink "$folder/out/checkpoints/latest")" = "step-$(printf %08d "$step")" ] ||
    fail "$1: step $step, latest $(readlink "$folder"/out/checkpoints/latest)"
  [ "$(grep '"loss"' "$folder"/out/metrics.jsonl | tail -n 1 | grep -o '"step": [0-9]*')" = "\"step\": $step" ] ||
    fail "$1: step $step, metrics.jsonl ends with $(tail -n 1 "$folder"/out/metrics.jsonl)"
  [ ! -e "$folder"/out/done.json ] || fail "$1: done.json"
  has_errors 0
}

two=("$mpirun" 2 "$shoal" train ../small.yaml "${settings[@]}" --resume auto)
expect 0 "the run left alone" bash -c 'cd alone && exec "$@"' - "${two[@]}"

# ---- To mpirun, before the first step: the config is a pipe, so the moment is sure
mkfifo stopped/pipe.yaml
start stopped "$mpirun" 1 "$shoal" train pipe.yaml "${settings[@]}" train.out_dir=first --resume auto
while kill -0 "$run" 2>/dev/null && ! pgrep -P "$run" >/dev/null; do sleep 0.05; done
sleep 1 # until the rank waits for its config
kill -USR1 "$run"
cat small.yaml >stopped/pipe.yaml
ends 7 "before the first step"
has "stopped on request after step 1, saved in first/checkpoints/step-00000001"
has_errors 0

# ---- While a checkpoint is written; to one rank; in an evaluation; again in the same one
start stopped "${two[@]}"
until_exists 'stopped/out/checkpoints/*.tmp-*'
kill -USR1 "$run"
saved "during a checkpoint's write"

cp -a stopped one # how far this one comes depends on the clock: its own folder
start one "${two[@]}" checkpoint.every_steps=1
until_exists 'one/out/checkpoints/step-00000004'
kill -TERM "$(pgrep -P "$run" -n)"
saved "one rank"

start stopped "${two[@]}"
until_exists 'stopped/out/checkpoints/step-00000006' # the evaluation has begun or is about to
kill -USR1 "$run"
saved "in an evaluation"
has "after step 6"
start stopped "${two[@]}"
until_exists 'stopped/out' # the evaluation comes first
kill -USR1 "$run"
saved "in an evaluation that is made up"
has "after step 6"
! grep -q '"AP"' stopped/out/metrics.jsonl || fail "an evaluation that was stopped is in the log"

# ---- To the end: as if nothing had happened
expect 0 "the last resume" bash -c 'cd stopped && exec "$@"' - "${two[@]}"
for file in model optimizer; do
  same alone/out/checkpoints/latest/$file.safetensors stopped/out/checkpoints/latest/$file.safetensors
done
same alone/out/done.json stopped/out/done.json
same_metrics alone/out/metrics.jsonl stopped/out/metrics.jsonl
[ "$(readlink alone/out/checkpoints/best)" = "$(readlink stopped/out/checkpoints/best)" ] || fail "best differs"
expect 0 "a complete run" bash -c 'cd stopped && exec "$@"' - "${two[@]}"

# ---- Where it cannot be saved, the exit code says so
# shellcheck disable=SC2016 # files end at 8 MiB; the model is larger
start stopped bash -c 'trap "" XFSZ; ulimit -f 8192; exec "$@"' - \
  "$shoal" train ../small.yaml "${settings[@]}" train.out_dir=full
until_exists 'stopped/full/metrics.jsonl'
kill -INT "$run"
ends 1 "no room for the checkpoint"
has "not written"
finish
