# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by the tests of launch/mpirun.sh after cluster_test.sh: a run over virtual hosts in a folder of
# its own, and what is to be seen of it.
timeout_s=12

make_small_set
settings=(optimizer.name=sgd optimizer.lr=0.01 train.batch=4 train.epochs=4 eval.every_epochs=0
  checkpoint.every_steps=3 checkpoint.every_epochs=0 "comm.timeout_s=$timeout_s"
  "data.train=$work/data/train" "data.val=$work/data/val")
steps=12

# launch FOLDER HOSTS [OPTION ...] [key=value ...]: a run there, to its end. The model file carries its
# config, so every run calls its folder "out".
launch() {
  (become_launch "$@")
}
become_launch() {
  local folder=$1 hosts=$2
  shift 2
  mkdir -p "$folder"
  cd "$folder" && exec env --default-signal=INT "$SHOAL_SOURCE_DIR/launch/mpirun.sh" --hosts "$hosts" --bind none --rsh "$remote_shell" \
    ../small.yaml "${settings[@]}" "$@"
}
begin() { # the same, behind the test's back; until the first checkpoint stands
  become_launch "$@" >"log.$1" 2>&1 &
  run=$!
  until_true 100 test -e "$1/out/checkpoints/latest"
}
# ended CODE WHAT: the run begun last has, and left nothing; its output is in log.
ended() {
  local got
  wait "$run"
  got=$?
  cp "log.$2" log
  [ "$got" -eq "$1" ] || fail "$2: exit $got, want $1: $(tail -n 8 log)"
  none_left "$2"
}
# What a fault costs: until the launcher has seen it; seconds since began.
seen_within() {
  until_true "$1" grep -q 'going on from step' "log.$2"
  within "$1" "$2"
}
lines() {
  if [ -e "$1/out/metrics.jsonl" ]; then wc -l <"$1/out/metrics.jsonl"; else echo 0; fi
}
has_steps() { # FOLDER N
  [ "$(lines "$1")" -ge "$2" ]
}
same_weights() { # FOLDER FOLDER
  local file
  for file in model optimizer; do
    same "$1/out/checkpoints/latest/$file.safetensors" "$2/out/checkpoints/latest/$file.safetensors"
  done
  same_metrics "$1/out/metrics.jsonl" "$2/out/metrics.jsonl"
}
# close_losses FOLDER FOLDER: 1e-4 relative over the first ten steps, every term.
close_losses() {
  paste -d' ' <(grep -o '"loss[a-z_]*": [^,]*' "$1/out/metrics.jsonl") <(grep -o '"loss[a-z_]*": [^,]*' "$2/out/metrics.jsonl") |
    awk -v who="$1 and $2" 'NR > 50 { next } { d = $2 - $4; d = d < 0 ? -d : d; n++
      if ($1 != $3 || d > 1e-4 * ($2 > 1e-3 ? $2 : 1e-3)) { print who ": " $0; bad = 1 } } END { exit bad || n < 50 }' >differ ||
    fail "$1 and $2: $(head -n 3 differ)"
}
pid_of_rank() { # HOST
  pgrep -x shoal --ns "$(cat "$SHOAL_CLUSTER/$1/pid")" --nslist pid
}
