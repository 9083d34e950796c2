#!/usr/bin/env bash
# A run killed over and over (one rank, all ranks, in the middle of a checkpoint's write) and resumed
# ends as one that was left alone: the same weights to the byte, every step and evaluation in the log
# once, with the same losses.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
slowness=${SHOAL_SLOWNESS:-1}                  # of the build, times that of release
n_kills=${N_KILLS:-$((slowness > 5 ? 5 : 10))} # a start alone takes the thread sanitizer seconds
RANDOM=${SEED:-20}
seconds_to_end=$((20 * slowness)) # a rank that hangs would wait for ever

make_small_set
# As long as the kills need: each lets the run get three steps further on average.
# The model file carries its config, so both runs call their folder "out".
settings=(train.epochs=$((2 + n_kills / 4)) eval.every_epochs=2 optimizer.name=sgd optimizer.lr=0.01
  "data.train=$work/data/train" "data.val=$work/data/val")
mkdir alone killed
# train FOLDER: the run there to its end.
# shellcheck disable=SC2317 # expect calls it
train() {
  (cd "$1" && exec "$mpirun" 2 "$shoal" train ../small.yaml "${settings[@]}" --resume auto)
}

start() {
  (cd killed && exec "$mpirun" 2 "$shoal" train ../small.yaml "${settings[@]}" --resume auto) >>log.killed 2>&1 &
  run=$!
}

n_lines() {
  [ -e killed/out/metrics.jsonl ] && wc -l <killed/out/metrics.jsonl || echo 0
}

# Until the log has grown by $1 lines, or the run is over.
wait_for_lines() {
  local goal=$(($(n_lines) + $1))
  while kill -0 "$run" 2>/dev/null && [ "$(n_lines)" -lt "$goal" ]; do sleep 0.01; done
}

wait_for_write() {
  while kill -0 "$run" 2>/dev/null && ! compgen -G 'killed/out/checkpoints/*.tmp-*' >/dev/null; do
    sleep 0.005
  done
}

n_struck=0
strike() { # process ids
  [ $# -gt 0 ] && kill -9 "$@" 2>/dev/null && n_struck=$((n_struck + 1))
}

kill_one() {
  local ranks
  mapfile -t ranks < <(pgrep -P "$run")
  [ ${#ranks[@]} -eq 2 ] || return
  strike "${ranks[RANDOM % 2]}"
}

kill_all() {
  local ranks
  mapfile -t ranks < <(pgrep -P "$run")
  strike "${ranks[@]}" "$run"
}

expect 0 "the run left alone" train alone
for ((k = 0; k < n_kills; k++)); do
  start
  # Lines of the log that the resume cuts away come first, hence the wait for any.
  wait_for_lines $((1 + RANDOM % 5))
  case $((k % 3)) in
    0) kill_one ;;
    1) kill_all ;;
    2)
      wait_for_write
      if [ $((RANDOM % 2)) -eq 0 ]; then kill_one; else kill_all; fi
      ;;
  esac
  began=$SECONDS
  wait "$run" 2>/dev/null
  code=$?
  [ $code -ne 0 ] || [ -e killed/out/done.json ] || fail "kill $k: exit 0"
  [ $((SECONDS - began)) -le $seconds_to_end ] || fail "kill $k: the job ended after $((SECONDS - began)) s"
done
[ $n_struck -ge $((n_kills / 2)) ] || fail "only $n_struck kills hit a run at work"
expect 0 "the last resume" train killed
for file in model optimizer; do
  same alone/out/checkpoints/latest/$file.safetensors killed/out/checkpoints/latest/$file.safetensors
done
same alone/out/done.json killed/out/done.json
same_metrics alone/out/metrics.jsonl killed/out/metrics.jsonl
! compgen -G 'killed/out/checkpoints/*.tmp-*' >/dev/null || fail "temporary folders are left"
[ "$(readlink alone/out/checkpoints/best)" = "$(readlink killed/out/checkpoints/best)" ] || fail "best differs"
expect 0 "a complete run" train killed
has "the run is complete"
echo "$n_struck of $n_kills kills hit"
finish
