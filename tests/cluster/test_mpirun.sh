#!/usr/bin/env bash
# launch/mpirun.sh over virtual hosts: the layouts agree, a request to stop saves, what is wrong stays
# wrong, and no progress is the end.
. "${SHOAL_SOURCE_DIR:?}/tests/cluster/cluster_test.sh"
# shellcheck source=tests/cluster/launch_test.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/launch_test.sh"

hosts_up 4 || { fail "hosts_up"; finish; }
# ---- 1, 2 and 4 ranks on 1, 2 and 4 hosts: ten steps on the golden's set-up, each term within 1e-4
golden=$SHOAL_SOURCE_DIR/tests/golden/layout
mapfile -t network <"$golden/network.txt"
mapfile -t takes_all <"$golden/takes_all.txt"
mapfile -t optimizer <"$golden/optimizer.txt"
expect 0 "pack" "$shoal" pack coco --annotations "$golden/instances.json" --images "$golden" --out data/four --shards 3
expect 0 "keyed weights" "$SHOAL_LAYOUT_TOOL" weights start.safetensors "${network[@]}"
cat >four.yaml <<END
data: {train: $work/data/four, val: $work/data/four, workers: 1, drop_empty: false}
train: {batch: 4, micro_batch: 1, epochs: 10, threads: 1, init: $work/start.safetensors}
schedule: {name: constant, warmup_steps: 0}
checkpoint: {every_epochs: 0}
eval: {every_epochs: 0}
END
for hosts in h1 h1,h2 h1,h2,h3,h4; do
  out=golden-$hosts
  expect 0 "$hosts" "$SHOAL_SOURCE_DIR/launch/mpirun.sh" --hosts "$hosts" --bind none --rsh "$remote_shell" four.yaml \
    "${network[@]}" "${takes_all[@]}" "${optimizer[@]}" train.out_dir="$out"
  has "shoal: $(tr ',' '\n' <<<"$hosts" | wc -l) ranks x "
  if [ "$hosts" = h1 ]; then
    expect 0 "against torchvision" "$SHOAL_LAYOUT_TOOL" golden "$out" start.safetensors "$golden/expected.safetensors"
  else
    expect 0 "$hosts against h1" "$SHOAL_LAYOUT_TOOL" same "$out" golden-h1 1e-4 1e-4 start.safetensors
  fi
done

# ---- A run of the small set, for what follows
expect 0 "2 ranks on 2 hosts" launch two h1:1,h2:1
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
