#!/usr/bin/env bash
# launch/mpirun.sh and what happens to ranks, hosts and links: each fault is noticed in time, the next
# attempt goes on, and the end is that of a run that was left alone.
. "${SHOAL_SOURCE_DIR:?}/tests/cluster/cluster_test.sh"
# shellcheck source=tests/cluster/launch_test.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/launch_test.sh"

hosts_up 4 || { fail "hosts_up"; finish; }
expect 0 "1 rank" launch one h1
expect 0 "2 ranks" launch two h1:1,h2:1

# ---- A rank that is killed: the next attempt ends with the same weights to the byte
begin killed h1:1,h2:1
began=$SECONDS
kill -KILL "$(pid_of_rank h2)"
seen_within 10 killed
ended 0 killed
grep -Eq 'a rank (was killed \(137|is gone: .*\(255\))' log || fail "no reason: $(tail -n 8 log)"
same_weights two killed

# ---- mpirun itself is killed: the next attempt goes on, and nothing of the first stays in memory
begin launcher h1:2
[ "$(on h1 find /dev/shm -path '*/shoal-job.*/vader_segment*' | wc -l)" = 2 ] || fail "segments: $(on h1 find /dev/shm)"
began=$SECONDS
pkill -KILL -x mpirun # of this cluster: it has processes of its own
seen_within 10 launcher
ended 0 launcher
left=$(on h1 find /dev/shm -name 'vader_segment*' -o -name 'shoal-job.*')
[ -z "$left" ] || fail "left in /dev/shm: $left"
same_weights two launcher

# ---- A rank that runs out of memory: the same, once there is enough
if host_memory h2 100; then
  become_launch oom h1:1,h2:1 >log.oom 2>&1 &
  run=$!
  began=$SECONDS
  seen_within 30 oom
  host_memory h2 ""
  ended 0 oom
  has "a rank was killed (137: kill -9, or out of memory); going on from step 0"
  same_weights two oom
else
  echo "left out: running out of memory (control groups cannot be written here)"
fi

# ---- A host that crashes without a word: on without it, on as many ranks as divide the batch
begin crashed h1,h2,h3,h4
began=$SECONDS
host_crash h4
seen_within $((timeout_s + 10)) crashed
ended 0 crashed
has "h4 does not answer"
has "2 ranks, not 3: train.batch 4"
has "going on without h4: 2 ranks on h1 h2"
has "another layout: number of ranks was 4, now 2"
close_losses one crashed
expect 1 "a start without a host" launch none h1:1,h4:1
has "not started: see to h4"

for host in h1 h2 h3; do on "$host" find /dev/shm -name 'vader_segment*' -o -name 'shoal-job.*'; done >log
[ ! -s log ] || fail "left in /dev/shm: $(cat log)"

# Two runs at a time from here on, as they mostly wait. both FIRST SECOND: starts them; when FIRST's first
# checkpoint stands fault_FIRST happens, then the same for SECOND.
both() {
  become_launch "$1" h1:1,h2:1 >"log.$1" 2>&1 &
  first=$!
  become_launch "$2" h3:1,h4:1 >"log.$2" 2>&1 &
  second=$!
  until_true 100 test -e "$1/out/checkpoints/latest"
  first_began=$SECONDS
  "fault_$1"
  until_true 100 test -e "$2/out/checkpoints/latest"
  second_began=$SECONDS
  "fault_$2"
}

# ---- A cut of three seconds is nothing; one for good is the loss of a host
# shellcheck disable=SC2317 # both calls them, here and below
fault_flapped() {
  host_link h2 down
  { sleep 3 && host_link h2 up; } &
}
# shellcheck disable=SC2317
fault_cut() {
  host_link h4 down
}
host_boot h4
both flapped cut
began=$second_began
seen_within $((timeout_s + 10)) cut
wait "$first" "$second"
host_link h4 up
run=$first ended 0 flapped
has_not "going on"
same_weights two flapped
run=$second ended 0 cut
has "going on without h4"
close_losses one cut

# ---- A rank that stands still, and a host whose kernel answers for it: only a watchdog sees it
# shellcheck disable=SC2317
fault_stopped() {
  kill -STOP "$(pid_of_rank h2)"
}
# shellcheck disable=SC2317
fault_frozen() {
  host_freeze h4
}
both stopped frozen
began=$first_began
seen_within $((timeout_s + 10)) stopped
began=$second_began
seen_within $((timeout_s + 10)) frozen # mpirun has to be killed, and the host given up
wait "$first" "$second"
host_thaw h4
run=$first ended 0 stopped
grep -Eq 'exit code 75' log || fail "no line of a watchdog: $(cat log)"
grep -Eq 'rank 1 on h2, (in )?step [0-9]+' log || fail "rank, host and step are not named: $(cat log)"
same_weights two stopped
run=$second ended 0 frozen
has "going on without h4"
close_losses one frozen
finish
