# shellcheck shell=bash disable=SC2034,SC2154,SC2317 # the tests read them; acts are called by name
# Sourced by the tests of launch/slurm.sbatch after cluster_test.sh: SLURM on virtual hosts, and jobs on it,
# many at a time: what a job waits for, the others use.
# shellcheck source=tests/cluster/slurm.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/slurm.sh"
why=$(slurm_possible) || { echo "skipped: $why"; exit 77; }
# shellcheck source=tests/cluster/launch_test.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/launch_test.sh"
export SHOAL_HOME=$SHOAL_SOURCE_DIR SHOAL_BIND=none
# Every step of rank zero takes so much longer: time for what is to happen meanwhile, which costs the others nothing.
export SHOAL_FAULT=slow:0:0.3
# One rank's every weight is trained elsewhere (test_mpirun); here a tenth of a step is enough.
settings+=(model.trainable_stages=0 checkpoint.keep=1)

declare -A jobs acts
# slurm_begin N [COMMAND...]: a SLURM of N nodes; COMMAND comes before any slurmd.
slurm_begin() {
  hosts_up "$1" || { fail "hosts_up"; finish; }
  "${@:2}"
  slurm_up "$1" || { fail "slurm_up: $(tail -n 5 "$slurm_folder"/log/*)"; finish; }
}

# submit FOLDER [OPTION ...] [key=value ...]: a job on two nodes there; its output is FOLDER/job.out.
submit() {
  local folder=$1 options=()
  shift
  while [ $# -gt 0 ] && [ "${1#-}" != "$1" ]; do options+=("$1") && shift; done
  mkdir -p "$folder"
  jobs[$folder]=$(cd "$folder" && sbatch --parsable --nodes=2 --output=job.out --time=60 "${options[@]}" \
    "$SHOAL_SOURCE_DIR/launch/slurm.sbatch" ../small.yaml "${settings[@]}" "$@") || fail "$folder: sbatch"
}

# at_checkpoint FOLDER ACT: what is to happen to this job when its first checkpoint stands: `ACT FOLDER`.
at_checkpoint() {
  acts[$1]=$2
}
checkpoint_stands() {
  [ -e "$1/out/checkpoints/latest" ]
}
perform_acts() { # all of them, in the order in which the checkpoints come
  local name end=$((SECONDS + 300))
  while [ ${#acts[@]} -gt 0 ]; do
    for name in "${!acts[@]}"; do
      if checkpoint_stands "$name"; then
        "${acts[$name]}" "$name"
        unset "acts[$name]"
      elif is_over "$name" || [ $SECONDS -gt $end ]; then
        fail "$name: $(slurm_state "${jobs[$name]}") without a checkpoint: $(tail -n 12 "$name/job.out")"
        unset "acts[$name]"
      fi
    done
    sleep 0.1
  done
}
# The acts. Time is nearly up, as --signal=B:USR1@120 says it:
notify() {
  scancel --batch --signal=USR1 "${jobs[$1]}"
}
cancel() {
  scancel "${jobs[$1]}"
}
requeue() {
  scontrol requeue "${jobs[$1]}"
}

rank_of() { # FOLDER HOST: its process of the job
  local p
  for p in $(pgrep -x shoal --ns "$(cat "$SHOAL_CLUSTER/$2/pid")" --nslist pid); do
    [ "$(readlink "/proc/$p/cwd")" != "$work/$1" ] || echo "$p"
  done
}

is_over() { # FOLDER: neither waiting nor running nor ending
  case $(slurm_state "${jobs[$1]}") in
    COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL | PREEMPTED | OUT_OF_MEMORY) ;;
    *) return 1 ;;
  esac
}
# over FOLDER STATE [CODE]: it ends so; log is its output then.
over() {
  local got want=$2${3:+ $3}
  until_true 240 is_over "$1"
  got=$(scontrol show job "${jobs[$1]}" | sed -nE "s/.*JobState=([A-Z_]+).*/\1/p; s/.*ExitCode=([0-9]+):.*/\1/p" | paste -sd' ')
  [[ "$got " = "$want "* ]] || fail "$1: $got, want $want: $(tail -n 12 "$1/job.out")"
  cp "$1/job.out" log
}
# good FOLDER TURNS: it is complete after so many turns, as if it had been left alone.
good() {
  over "$1" COMPLETED 0
  turns "$1" "$2"
  same_weights alone "$1"
  rm -rf "$1/out/checkpoints"
}
turns() { # FOLDER N
  local got
  got=$(grep -c 'ranks on h' "$1/job.out")
  [ "$got" -eq "$2" ] || fail "$1: $got turns, want $2: $(cat "$1/job.out")"
}
# took SECONDS FROM TO: no more than that lies between two lines of slurm.sbatch in log.
took() {
  local from to
  from=$(grep -m 1 "^slurm.sbatch.*$2" log | grep -oE '[0-9]+:[0-9]+:[0-9]+')
  to=$(grep -m 1 "^slurm.sbatch.*$3" log | grep -oE '[0-9]+:[0-9]+:[0-9]+')
  [ $((($(date -d "$to" +%s) - $(date -d "$from" +%s) + 86400) % 86400)) -le "$1" ] || fail "$from to $to, want $1 s: $(tail -n 12 log)"
}
