#!/usr/bin/env bash
# Hosts that do not fit together: each start is refused, or warned of, in a line that names the host. Every
# host has a /tmp of its own, so what stands there is its own copy. And a host that is slow is named.
. "${SHOAL_SOURCE_DIR:?}/tests/cluster/cluster_test.sh"
# shellcheck source=tests/cluster/launch_test.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/launch_test.sh"

hosts_up 2 || { fail "hosts_up"; finish; }
everywhere() { # COMMAND...: on both hosts and here
  local host
  "$@"
  for host in h1 h2; do on "$host" "$@"; done
}
once=(train.max_steps=1 checkpoint.every_steps=0 --max-restarts 2)

# ---- Another program on h2: the same file but for its build id
offset=$((16#$(readelf -SW "$shoal" | sed -nE 's/.*\.note\.gnu\.build-id +NOTE +[0-9a-f]+ ([0-9a-f]+) .*/\1/p')))
everywhere cp "$shoal" /tmp/shoal
on h2 bash -c "chmod u+w /tmp/shoal && printf '\xab\xcd' | dd of=/tmp/shoal bs=1 seek=$((offset + 16)) conv=notrunc status=none"
SHOAL_BINARY=/tmp/shoal expect 2 "another program" launch program h1:1,h2:1 "${once[@]}"
has "the program (shoal --version) on rank 1 (h2) differs from rank 0's (h1)"
has_errors 1
has_not "going on"
everywhere rm /tmp/shoal

# ---- Another config on h2: the key is named, with both values
everywhere cp small.yaml /tmp/small.yaml
on h2 sed -i 's/trainable_stages: 5/trainable_stages: 4/' /tmp/small.yaml
mkdir -p config
expect 2 "another config" env -C config "$SHOAL_SOURCE_DIR/launch/mpirun.sh" --hosts h1:1,h2:1 --bind none --rsh "$remote_shell" \
  /tmp/small.yaml "${settings[@]}" train.max_steps=1
has "on rank 1 (h2): the config differs from rank 0's: model.trainable_stages is 4, rank 0 has 5"
has_errors 1
has_not "going on"

# ---- Records that h2 has not
everywhere cp -r "$work/data" /tmp/data
expect 0 "copies of the records" launch copies h1:1,h2:1 "${once[@]}" data.train=/tmp/data/train
on h2 rm /tmp/data/train.record-00001-of-00002
expect 1 "a shard is missing" launch shard h1:1,h2:1 "${once[@]}" data.train=/tmp/data/train
has "on rank 1 (h2): "
has "/tmp/data/train.record-00001-of-00002"
has_errors 1
on h2 rm -r /tmp/data
expect 1 "all records are missing" launch records h1:1,h2:1 "${once[@]}" data.train=/tmp/data/train
has "on rank 1 (h2): "
has "/tmp/data/train"
has_errors 1
has_not "going on"

# ---- A folder for the run that hosts do not share
expect 75 "out_dir that is not shared" launch unshared h1:1,h2:1 "${once[@]}" train.out_dir=/tmp/out --max-restarts 0
has "train.out_dir /tmp/out is on rank 0's host h1 alone: rank 1 (h2) does not see it"
has "mpirun ended with 0 but /tmp/out/done.json is not there" # where mpirun.sh runs
expect 0 "it is on h1" on h1 test -e /tmp/out/done.json
expect 1 "and not on h2" on h2 test -e /tmp/out
none_left starts

# ---- A rank that takes half a second longer for every step
SHOAL_FAULT=slow:1:0.5 begin slow h1:1,h2:1 comm.timeout_s=8 train.epochs=1000
until_true 60 grep -Eq 'rank 1 on h2 is slow: [0-9.]+ s a step .*, [0-9.]+ times the median' log.slow
kill -USR1 $run
ended 7 slow
finish
