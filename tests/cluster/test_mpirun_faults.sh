#!/usr/bin/env bash
# launch/mpirun.sh and what happens to ranks, hosts and links: each fault is noticed in time, the next
# attempt goes on, and the end is that of a run that was left alone.
. "${SHOAL_SOURCE_DIR:?}/tests/cluster/cluster_test.sh"
# shellcheck source=tests/cluster/launch_test.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/launch_test.sh"

hosts_up 2 || { fail "hosts_up"; finish; }
expect 0 "1 rank" launch one h1
expect 0 "2 ranks" launch two h1:1,h2:1

# ---- A rank that is killed: the next attempt ends with the same weights to the byte
begin killed h1:1,h2:1
began=$SECONDS
kill -KILL "$(pid_of_rank h2)"
seen_within 10 killed
ended 0 killed
has "a rank was killed (137"
same_weights two killed

# ---- A host that dies, and one that crashes without a word: on without it
begin crashed h1:1,h2:1
began=$SECONDS
host_crash h2
seen_within $((timeout_s + 10)) crashed
ended 0 crashed
has "h2 does not answer"
has "going on without h2: 1 ranks on h1"
has "another layout: number of ranks was 2, now 1"
close_losses one crashed
expect 1 "a start without a host" launch none h1:1,h2:1
has "not started: see to h2"
host_boot h2

# ---- A cut of three seconds is nothing; one for good is the loss of a host
begin flapped h1:1,h2:1
host_link h2 down
sleep 3
host_link h2 up
ended 0 flapped
has_not "going on"
same_weights two flapped
begin cut h1:1,h2:1
began=$SECONDS
host_link h2 down
seen_within $((timeout_s + 10)) cut
wait "$run"
host_link h2 up
ended 0 cut 2>/dev/null
has "going on without h2"
close_losses one cut

# ---- A rank that stands still, and a host whose kernel answers for it: only a watchdog sees it
begin stopped h1:1,h2:1
began=$SECONDS
kill -STOP "$(pid_of_rank h2)"
seen_within $((timeout_s + 10)) stopped
grep -Eq 'exit code 75' log.stopped || fail "no line of a watchdog: $(cat log.stopped)"
ended 0 stopped
grep -Eq 'rank 1 on h2, (in )?step [0-9]+' log || fail "rank, host and step are not named: $(cat log)"
same_weights two stopped
begin frozen h1:1,h2:1
began=$SECONDS
host_freeze h2
seen_within $((timeout_s + 10)) frozen # mpirun has to be killed, and the host given up
wait "$run"
host_thaw h2
ended 0 frozen
has "going on without h2"
close_losses one frozen
finish
