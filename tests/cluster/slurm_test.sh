# shellcheck shell=bash disable=SC2317 # until_true calls them
# Sourced by the tests of launch/slurm.sbatch after cluster_test.sh: SLURM on three virtual hosts, and jobs.
# shellcheck source=tests/cluster/slurm.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/slurm.sh"
why=$(slurm_possible) || { echo "skipped: $why"; exit 77; }
# shellcheck source=tests/cluster/launch_test.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/launch_test.sh"
export SHOAL_HOME=$SHOAL_SOURCE_DIR SHOAL_BIND=none

hosts_up 3 || { fail "hosts_up"; finish; }
slurm_up 3 || { fail "slurm_up: $(tail -n 5 "$slurm_folder"/log/*)"; finish; }

# submit FOLDER [OPTION ...] [key=value ...]: a job on two nodes there; its number is $job, its output
# FOLDER/job.out.
submit() {
  local folder=$1 options=()
  shift
  while [ $# -gt 0 ] && [ "${1#-}" != "$1" ]; do options+=("$1") && shift; done
  mkdir -p "$folder"
  job=$(cd "$folder" && sbatch --parsable --nodes=2 --output=job.out --time=60 "${options[@]}" \
    "$SHOAL_SOURCE_DIR/launch/slurm.sbatch" ../small.yaml "${settings[@]}" "$@") || fail "$folder: sbatch"
}
# over SECONDS JOB: it is neither waiting nor running nor ending.
is_over() {
  case $(slurm_state "$1") in PENDING | RUNNING | COMPLETING | REQUEUED | '') return 1 ;; esac
}
over() { # FOLDER STATE
  until_true 150 is_over "$job"
  slurm_is "$job" "$2" || fail "$1: $(slurm_state "$job"), want $2: $(tail -n 12 "$1/job.out")"
  cp "$1/job.out" log
}
checkpoint_stands() {
  [ -e "$1/out/checkpoints/latest" ]
}
turns() { # FOLDER N
  local got
  got=$(grep -c 'ranks on h' "$1/job.out")
  [ "$got" -eq "$2" ] || fail "$1: $got turns, want $2: $(cat "$1/job.out")"
}

submit alone --gpus-per-node=1
over alone COMPLETED
