#!/usr/bin/env bash
# Nobody hangs: a rank that is stopped, hangs or dies ends the job within comm.timeout_s + 10 s, with a
# line that names rank, host, step and phase, the exit code that is documented, and no process left.
# The cases run side by side: most of it is waiting. Where a step takes the thread sanitizer's seconds,
# one at a time, and everything may take longer.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
make_small_set
timeout_s=20 side_by_side=8 soon=10
if [ "${SHOAL_SLOWNESS:-1}" -gt 5 ]; then timeout_s=60 side_by_side=1 soon=60; fi
after="${timeout_s%?}[0-9] s" # and a part of the next ten
host=$(hostname)
train=("$shoal" train "$PWD/small.yaml" optimizer.name=sgd eval.every_epochs=0 train.epochs=100000
  checkpoint.every_epochs=0 checkpoint.every_steps=0 "comm.timeout_s=$timeout_s"
  "data.train=$work/data/train" "data.val=$work/data/val")
two=("$mpirun" 2 "${train[@]}")

running() { # cases
  echo $(($(find . -path './*/pid' | wc -l) - $(find . -path './*/ended' | wc -l)))
}

# start CASE FAULT COMMAND...: in a folder of its own, in the background; case.pid, case.ranks
start() {
  local case=$1 fault=$2
  shift 2
  while [ "$(running)" -ge $side_by_side ]; do sleep 0.1; done
  mkdir "$case"
  (
    cd "$case" || exit
    SHOAL_FAULT=$fault "$@" >log 2>&1 &
    run=$!
    echo $run >pid
    while kill -0 $run 2>/dev/null && [ ! -e out/metrics.jsonl ]; do sleep 0.1; done
    pgrep -P $run >ranks || echo $run >ranks
    wait $run
    echo $? >code
    date +%s.%N >ended
  ) &
  while [ ! -e "$case/pid" ]; do sleep 0.01; done
}

# lines CASE: steps that it has logged.
lines() {
  [ -e "$1/out/metrics.jsonl" ] && wc -l <"$1/out/metrics.jsonl" || echo 0
}

# ends CASE CODE BOUND: it ended so, BOUND seconds after its last step at the latest, and left nothing.
ends() {
  local case=$1 code took i
  while [ ! -e "$case/ended" ]; do sleep 0.1; done
  read -r code <"$case/code"
  [ "$code" -eq "$2" ] || fail "$case: exit $code, want $2: $(tail -n 8 "$case/log")"
  took=$(awk "BEGIN { print $(cat "$case/ended") - $(stat -c %.9Y "$case/out/metrics.jsonl") }")
  [ "${took%.*}0" -le "${3}0" ] || fail "$case: ended after $took s: $(cat "$case/log")"
  while read -r rank; do # killed by mpirun, perhaps just now
    for ((i = 0; i < 50; i++)); do kill -0 "$rank" 2>/dev/null && sleep 0.1; done
    ! kill -0 "$rank" 2>/dev/null || fail "$case: left $(ps -o pid,ppid,stat,cmd -p "$rank")"
  done <"$case/ranks"
  echo "$case: exit $code after $took s: $(grep -m 1 'error: ' "$case/log")"
}

# says CASE REGEX
says() {
  grep -Eq "$2" "$1/log" || fail "$1: no \"$2\" in: $(cat "$1/log")"
}

start stopped_one stop:1:3 "${two[@]}"
start stopped_zero stop:0:3 "${two[@]}"
start killed kill:1:3 "${two[@]}"
start hung hang:1:3 "${two[@]}"
start hung_alone hang:0:3 "${train[@]}"
start frozen none "${two[@]}"
slow() { start slow slow:1:$((soon > 10 ? 30 : 6)) "$mpirun" 3 "${train[@]}" train.batch=3; }
[ $side_by_side -eq 1 ] || slow

# A job that is stopped as a whole (Ctrl-Z, a frozen machine) and goes on later goes on.
while [ "$(lines frozen)" -lt 2 ] && [ ! -e frozen/ended ]; do sleep 0.1; done
sleep 0.5 # for its ranks' list
xargs kill -STOP <frozen/ranks
sleep $((timeout_s + 5))
n=$(lines frozen)
xargs kill -CONT <frozen/ranks
for ((i = 0; i < 60 * soon; i++)); do [ "$(lines frozen)" -le "$n" ] && [ ! -e frozen/ended ] && sleep 0.1; done
kill -USR1 "$(cat frozen/pid)"
ends frozen 7 $((6 * soon))
[ "$(lines frozen)" -gt "$n" ] || fail "frozen: did not go on"

late="$timeout_s + $soon"
ends stopped_one 75 $((late))
says stopped_one "rank 0: error: on $host, step 3, [a-z ]+: not heard of for $after: rank 1 on $host, in step [0-9]+, [a-z ]+ \(comm.timeout_s $timeout_s\); exit code 75"
ends stopped_zero 75 $((late))
says stopped_zero "rank 1: error: on $host, step 3, [a-z ]+: not heard of for $after: rank 0 on $host, in step [0-9]+,"
ends killed 137 $soon
ends hung 75 $((late))
says hung "rank 1: error: on $host, step 3, loading data: no progress for $after"
ends hung_alone 75 $((late))
says hung_alone "shoal: error: on $host, step 3, loading data: no progress for $after"

# A slow rank is named; nothing else happens to it.
[ $side_by_side -gt 1 ] || slow
for ((i = 0; i < 180 * soon; i++)); do grep -q "is slow" slow/log || [ -e slow/ended ] || sleep 0.1; done
says slow "warning: rank 1 on $host is slow: [0-9.]+ s a step \([0-9.e-]+ s of them waiting for data\), [0-9.]+ times the median rank's [0-9.e-]+ s"
kill -USR1 "$(cat slow/pid)"
ends slow 7 $((6 * soon))
finish
