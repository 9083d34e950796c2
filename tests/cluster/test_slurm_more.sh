#!/usr/bin/env bash
# shellcheck disable=SC2317 # acts are called by name
# launch/slurm.sbatch under a real SLURM on virtual hosts: ranks and nodes that are lost. SLURM finds a job's
# processes by their parents here, as with control groups, so its TERM reaches each of them.
. "${SHOAL_SOURCE_DIR:?}/tests/cluster/cluster_test.sh"
# shellcheck source=tests/cluster/slurm_test.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/slurm_test.sh"
slurm_track=linuxproc slurm_more=SlurmctldParameters=preempt_send_user_signal
settings+=(comm.timeout_s=20) # whatever happens to a rank is over after ten more
limit_memory() {
  host_memory h3 $((64 << 10)) || { echo "h3 cannot run out of memory: control groups cannot be written here"; no_limit=yes; }
}
slurm_begin 11 limit_memory
on_nodes() { # H1 H2 ...: these and no others, were it fewer of them
  echo "--exclude=$(sinfo -h -N -p main -o %N | grep -vwF -f <(printf '%s\n' "$@") | paste -sd,)"
}
struck() { # FOLDER COMMAND...: strikes it, and notes when
  date +%s >"$1.struck"
  "${@:2}"
}
# seen_by SECONDS FOLDER TEXT: that long after the strike a line of slurm.sbatch has it.
seen_by() {
  local at
  at=$(date -d "$(grep -m 1 "^slurm.sbatch.*$3" "$2/job.out" | grep -oE '[0-9]+:[0-9]+:[0-9]+')" +%s)
  [ $((at - $(cat "$2.struck"))) -le "$1" ] || fail "$2: $((at - $(cat "$2.struck"))) s, want $1: $(cat "$2/job.out")"
}

has_line() { # REGEX
  grep -qE "$1" log || fail "no $1 in: $(cat log)"
}

submit alone "$(on_nodes h1 h2)"
# ---- A rank that is killed, one that stands still, one that finds no memory
kill_rank() {
  struck "$1" kill -KILL "$(rank_of "$1" h2)"
}
stop_rank() {
  struck "$1" kill -STOP "$(rank_of "$1" h2)"
}
starve_rank() { # somebody else takes the host's memory; it is the rank that has to go
  local group
  group=$(cat "$SHOAL_CLUSTER/h3/cgroup")
  echo 1000 >"/proc/$(rank_of "$1" h3)/oom_score_adj"
  cat "$group"/memory.{usage_in_bytes,current} 2>/dev/null >usage
  struck "$1" host_memory h3 $((($(cat usage) >> 20) + 64))
  # shellcheck disable=SC2016 # perl's variable
  on h3 perl -e '$x = "x" x (256 << 20); sleep 5' &
  until_true 30 no_rank "$1" h3
  kill $!
  host_memory h3 $((64 << 10))
}
no_rank() {
  [ -z "$(rank_of "$1" "$2")" ]
}
submit killed "$(on_nodes h1 h2)"
at_checkpoint killed kill_rank
SHOAL_LAUNCH=srun submit killed_srun "$(on_nodes h1 h2)"
at_checkpoint killed_srun kill_rank
# ---- Queued again from outside: TERM goes to mpirun, srun and orted too, and the ranks save all the same
submit requeued "$(on_nodes h1 h2)"
at_checkpoint requeued requeue
SHOAL_LAUNCH=srun submit requeued_srun "$(on_nodes h1 h2)"
at_checkpoint requeued_srun requeue
# ---- A more urgent job, where the site has it said by the job's own signal
submit preempted "$(on_nodes h1 h11)"
at_checkpoint preempted want_h11
want_h11() {
  sbatch --partition=urgent --nodelist=h11 --exclusive --output=/dev/null --wrap true >/dev/null
}
submit stopped "$(on_nodes h1 h2)"
at_checkpoint stopped stop_rank
SHOAL_LAUNCH=srun submit stopped_srun "$(on_nodes h1 h2)"
at_checkpoint stopped_srun stop_rank
if [ -z "${no_limit:-}" ]; then
  submit starved "$(on_nodes h2 h3)"
  at_checkpoint starved starve_rank
fi

# ---- A node that loses power: there is another in its place; it was the one that ran the script, and is back later;
# and there is no other, so it is submitted again with one node less
lose_second() {
  lost=$(scontrol show job "${jobs[$1]}" -o | sed -nE 's/.* NodeList=([^ ]*).*/\1/p')
  lost=$(scontrol show hostnames "$lost" | tail -n 1)
  struck "$1" host_crash "$lost"
}
lose_h7() {
  struck "$1" host_crash h7
}
lose_h10() {
  struck "$1" host_crash h10
}
submit second "$(on_nodes h4 h5 h6)"
at_checkpoint second lose_second
submit first "$(on_nodes h7 h8)"
at_checkpoint first lose_h7
SHOAL_LAUNCH=srun submit fewer "$(on_nodes h9 h10)"
at_checkpoint fewer lose_h10
perform_acts
# SLURM hears of a node every 3 s here, and gives it up after ten.
until_true 45 slurm_node_is h7 down
host_boot h7 && slurm_node h7

over alone COMPLETED 0
good killed 2
has "ended with 137: to be queued again"
seen_by 30 killed "ended with"
good killed_srun 2
has_line "ended with 1[34][0-9]: to be queued again" # 137, or the peer's broken pipe
seen_by 30 killed_srun "ended with"
if [ -z "${no_limit:-}" ]; then
  good starved 2
  has "ended with 137: to be queued again"
  seen_by 30 starved "ended with"
fi
for name in requeued requeued_srun; do
  good $name 2
  has "ended with 7; SLURM is ending the job already"
  has_not "stopped (mpirun"
done
good preempted 2
has "USR1: every rank saves"
has "ended with 7: to be queued again"
for name in stopped stopped_srun; do
  good $name 2
  seen_by 30 $name "ended with"
  has_line "rank 1 on h2, in step [0-9]+"
done
good second 2
has "ended with 205: to be queued again"
seen_by 30 second "ended with"

good first 2
until_true 60 slurm_is "${jobs[fewer]}" PENDING
seen_by 30 fewer "ended with"
scancel "${jobs[fewer]}"
over fewer CANCELLED
submit fewer "$(on_nodes h9)" --nodes=1
over fewer COMPLETED 0
has "another layout: number of ranks was 2, now 1"
close_losses alone fewer
none_left "all of it"
finish
