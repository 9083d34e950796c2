#!/usr/bin/env bash
# launch/mpirun.sh over virtual hosts: the layouts agree, a request to stop saves, what is wrong stays
# wrong, and no progress is the end.
. "${SHOAL_SOURCE_DIR:?}/tests/cluster/cluster_test.sh"
# shellcheck source=tests/cluster/launch_test.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/launch_test.sh"

hosts_up 4 || { fail "hosts_up"; finish; }
# ---- 1, 2 and 4 ranks on 1, 2 and 4 hosts
expect 0 "1 rank" launch one h1
expect 0 "2 ranks on 2 hosts" launch two h1:1,h2:1
has "shoal: 2 ranks x "
expect 0 "4 ranks on 4 hosts" launch four h1,h2,h3,h4
close_losses one two
close_losses one four
[ "$(lines four)" = $steps ] || fail "four: $(lines four) steps"
expect 0 "a complete run" launch two h1:1,h2:1
has "the run is complete"

# ---- The largest number of ranks that divides train.batch
mkdir -p three && printf 'h1 slots=2 # two here\n\nh3\n' >three/hosts
# shellcheck disable=SC2016 # for the shell that runs it
expect 0 "3 slots" bash -c 'cd three && exec "$0" --hostfile hosts --bind none --rsh "$1" ../small.yaml "${@:2}"' \
  "$SHOAL_SOURCE_DIR/launch/mpirun.sh" "$remote_shell" "${settings[@]}" train.max_steps=2
has "2 ranks, not 3: train.batch 4"

# ---- Save and stop, by either signal; the same command goes on, and one time of the two tells how it ends
for signal in USR1 INT; do
  begin "stop$signal" h1:1,h2:1
  began=$SECONDS
  kill -$signal $run
  ended 7 "stop$signal"
  within 10 "stop by $signal"
  has "asked to stop"
  [ ! -e "stop$signal/out/done.json" ] || fail "stop by $signal: done"
done
expect 0 "on after USR1" launch stopUSR1 h1:1,h2:1
same_weights two stopUSR1

# ---- What is wrong stays wrong: no second attempt
expect 2 "a key that is unknown" launch wrong h1:1,h2:1 train.bach=1
expect 1 "data that is missing" launch wrong h1:1,h2:1 data.train=nowhere
has_not "going on"
expect 2 "an option that is unknown" launch wrong h1 --nothing

# ---- No progress: gives up with the reason
crashing() { # the program, killed at its first step every time
  while :; do
    until_true 60 pid_of_rank h2 >/dev/null
    kill -KILL "$(pid_of_rank h2)" 2>/dev/null
    sleep 0.05
  done
}
crashing &
killer=$!
expect 75 "a rank that is killed at every start" launch hopeless h1:1,h2:1 --max-restarts 1
kill $killer
has "giving up after 1 restarts, the last 1 without a checkpoint after step 0: a rank "
none_left "giving up"
finish
