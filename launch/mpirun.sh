#!/usr/bin/env bash
# Trains over hosts, and goes on after failures: starts `shoal train CONFIG ... --resume auto` by mpirun
# and starts it again from the last checkpoint where a rank was killed, crashed or stalled (exit codes
# 75, 134 to 139, 205) or a host was lost. The same command continues a run that was stopped.
#
#   launch/mpirun.sh [OPTION ...] CONFIG [key=value ...]
#
#   --hosts H1:2,H2:2     hosts and how many ranks each takes (1 unless given); default localhost:1
#   --hostfile F          the same from a file, a line each: "h1 slots=2"; not both
#   --max-restarts N      give up after N restarts without a new checkpoint (3); 0: never start again
#   --interface I         network between the hosts: a name (eth0, ib0) or a subnet (10.1.0.0/16);
#                         otherwise the one that leads from here to the second host
#   --bind auto|none      auto: each rank gets its share of the host's cores, where there are enough;
#                         none: for cores that others use too (or SHOAL_BIND=none)
#   --rsh COMMAND         reaches a host without a password (ssh -o BatchMode=yes -o ConnectTimeout=5)
#   --srun                in a SLURM job: start by `srun --mpi=pmix` rather than mpirun
#
# Inside a SLURM job hosts and ranks are the job's; see launch/slurm.sbatch.
# USR1, TERM, INT (Ctrl-C): every rank saves the same step, exit code 7. A second TERM or INT ends it at once.
# The folder, the binary ($SHOAL_BINARY, build/release/shoal) and the data are the same paths on every host.
# Exit codes: 0 complete (out_dir/done.json), 7 saved on request, 1 and 2 wrong settings or data, 75 gave up.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)

hosts=() slots=()  # all that may be used
use=() use_slots=() # those of this attempt
max_restarts=3 interface='' bind=${SHOAL_BIND:-auto} rsh='ssh -o BatchMode=yes -o ConnectTimeout=5'
launcher=mpirun words=()
shoal=${SHOAL_BINARY:-build/release/shoal}
probe_s=8 # for a host to answer

say() {
  echo "mpirun.sh: $*" >&2
}
fail() { # CODE TEXT
  say "${@:2}"
  exit "$1"
}
usage() {
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
}

add_host() { # HOST SLOTS
  [[ $2 =~ ^[1-9][0-9]*$ ]] || fail 2 "host $1: $2 ranks?"
  hosts+=("$1") slots+=("$2")
}
read_hosts() { # H1:2,H2
  local entry entries
  IFS=, read -ra entries <<<"$1"
  for entry in "${entries[@]}"; do
    case $entry in
      *:*) add_host "${entry%:*}" "${entry##*:}" ;;
      *) add_host "$entry" 1 ;;
    esac
  done
}
read_hostfile() {
  local line name rest
  [ -r "$1" ] || fail 2 "cannot read $1"
  while IFS= read -r line || [ -n "$line" ]; do
    read -r name rest <<<"${line%%#*}"
    [ -n "$name" ] || continue
    if [[ $rest =~ slots=([^ ]*) ]]; then add_host "$name" "${BASH_REMATCH[1]}"; else add_host "$name" 1; fi
  done <"$1"
}

while [ $# -gt 0 ]; do
  case $1 in
    --hosts) read_hosts "${2:?mpirun.sh: --hosts wants H1:2,H2:2}"; shift 2 ;;
    --hostfile) read_hostfile "${2:?mpirun.sh: --hostfile wants a file}"; shift 2 ;;
    --max-restarts) max_restarts=${2:?mpirun.sh: --max-restarts wants a number}; shift 2 ;;
    --interface) interface=${2:?mpirun.sh: --interface wants a name or a subnet}; shift 2 ;;
    --bind) bind=${2:?mpirun.sh: --bind wants auto or none}; shift 2 ;;
    --rsh) rsh=${2:?mpirun.sh: --rsh wants a command}; shift 2 ;;
    --srun) launcher=srun; shift ;;
    --help | -h) usage; exit 0 ;;
    -*) fail 2 "what is $1? see --help" ;;
    *) words+=("$1"); shift ;;
  esac
done
[ ${#words[@]} -gt 0 ] || fail 2 "no config given; see --help"
[[ $max_restarts =~ ^[0-9]+$ ]] || fail 2 "--max-restarts $max_restarts: want a number"
[[ $bind =~ ^(auto|none)$ ]] || fail 2 "--bind $bind: want auto or none"
in_job=${SLURM_JOB_ID:+yes}
[ ${#hosts[@]} -eq 0 ] || in_job=''
[ "$launcher" = mpirun ] || [ -n "$in_job" ] || fail 2 "--srun is for SLURM jobs"
[ -n "$in_job" ] || [ ${#hosts[@]} -gt 0 ] || add_host localhost 1
[ -x "$shoal" ] || fail 2 "${SHOAL_BINARY:-build/release/shoal} is not there: build it, or set SHOAL_BINARY"
shoal=$(realpath "$shoal")

# ---- What the config says
key() {
  "$shoal" config "${words[@]}" --key "$1"
}
batch=$(key train.batch) || exit
out_dir=$(key train.out_dir) devices=$(key train.devices_per_rank) timeout_s=$(key comm.timeout_s)
timeout_s=${timeout_s%.*} # whole seconds will do

folder=$(mktemp -d) # of answers and of mpirun's messages
# Stands in every rank's environment, on every host: they can be told from any other process.
SHOAL_JOB=$(hostname)-$$-$RANDOM
export SHOAL_JOB
probes=()
# shellcheck source=launch/mpirun_hosts.sh
. "$here/mpirun_hosts.sh"
trap 'sweep; rm -rf "$folder"' EXIT

# The command of this attempt, in options.
choose_command() {
  local name list=()
  if [ "$launcher" = srun ]; then
    options=(srun --mpi=pmix --kill-on-bad-exit=1)
    return
  fi
  options=(mpirun -n "${n_ranks:=${SLURM_NTASKS:-1}}")
  if [ -n "$in_job" ]; then
    # SLURM says TERM to all it knows of: mpirun would end at once, orted on the other nodes likewise.
    ! env --block-signal=TERM true 2>/dev/null || options=(env --block-signal=TERM "${options[@]}")
    [[ $here == *[[:space:]]* ]] || default OMPI_MCA_orte_launch_agent "$here/orted.sh" # Open MPI splits it at spaces
    if [ "$bind" = auto ] && [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then
      options+=(--map-by "slot:PE=$SLURM_CPUS_PER_TASK" --bind-to core)
    else
      options+=(--bind-to none)
      default OMPI_MCA_mpi_yield_when_idle 1
    fi
  else
    for name in "${!use[@]}"; do list+=("${use[name]}:${use_slots[name]}"); done
    options+=(--host "$(IFS=,; echo "${list[*]}")")
    choose_segments
    choose_binding
  fi
  for name in $(compgen -e); do
    case $name in SHOAL_* | NCCL_* | OMP_* | LD_LIBRARY_PATH) options+=(-x "$name") ;; esac
  done
}

# ---- One attempt
pid='' n_stops=0 asked=0 forced=''
stop() { # a signal came: save and leave; at the second, leave
  n_stops=$((n_stops + 1))
  [ -n "$pid" ] || return
  if [ $n_stops -eq 1 ]; then
    say "asked to stop: every rank saves"
    asked=$SECONDS
    kill -USR1 "$pid"
  elif [ "$1" != USR1 ] && [ -z "$in_job" ]; then # SLURM says it to the whole group, and has KILL
    say "asked again: ended at once, the last checkpoint stands"
    kill -TERM "$pid"
  fi
}
trap 'stop USR1' USR1
trap 'stop TERM' TERM INT

# Grows with whatever the run does.
activity() {
  stat -c %s "$folder/log" "$out_dir/metrics.jsonl" 2>/dev/null | paste -sd+ -
}
newest_step() { # of the checkpoints
  readlink "$out_dir/checkpoints/latest" 2>/dev/null | sed -E 's/^step-0*//'
}

end_by_force() {
  say "$*: ending mpirun by force"
  forced=$1
  kill -KILL "$pid"
}

# What mpirun waits for a frozen or lost host it waits for in vain. It is over where a rank has left
# for want of progress and mpirun is still there 4 s later; and where nothing has moved for longer
# than any rank would wait, and a host does not answer.
watch_over() {
  local now last='' since=$SECONDS doomed=''
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.5
    now=$(activity)
    [ "$now" = "$last" ] || { last=$now since=$SECONDS; }
    # Said before the ranks were there, it was said to nobody.
    if [ $n_stops -gt 0 ] && [ $((SECONDS - asked)) -ge 2 ]; then
      kill -USR1 "$pid" 2>/dev/null
      asked=$SECONDS
    fi
    if [ -z "$doomed" ]; then
      ! grep -q 'exit code 75' "$folder/log" || doomed=$SECONDS
    elif [ $((SECONDS - doomed)) -ge 4 ]; then
      end_by_force "a rank has left and others stay"
      return
    fi
    if [ $((SECONDS - since)) -gt $((timeout_s + 2)) ] && [ -z "$in_job" ]; then
      probe_s=4 probe "${use[@]}"
      for now in "${use[@]}"; do
        answers "$now" || { end_by_force "nothing has moved for $((SECONDS - since)) s and $(why_not "$now")"; return; }
      done
      since=$SECONDS
    fi
  done
}

run_once() {
  : >"$folder/log"
  forced=''
  local progress=plain
  [ ! -t 2 ] || progress=live
  # A session of its own: a Ctrl-C is for this script alone, which passes on what it means.
  SHOAL_PROGRESS=${SHOAL_PROGRESS:-$progress} setsid "${options[@]}" "$shoal" train "${words[@]}" --resume auto \
    </dev/null 2> >(trap '' INT TERM USR1; exec tee -a "$folder/log" >&2) &
  pid=$!
  watch_over
  wait "$pid" 2>/dev/null
  code=$?
  pid=''
}

# Whether to try again; sets reason.
worth_another() {
  [ -z "$forced" ] || { reason=$forced; return 0; }
  case $code in
    0) reason="mpirun ended with 0 but $out_dir/done.json is not there" ;;
    1)
      # mpirun's own 1: a host that could not be started. The program's 1 comes again.
      [ -z "$in_job" ] || return 1
      probe "${use[@]}"
      local host
      for host in "${use[@]}"; do
        answers "$host" || { reason="$(why_not "$host")"; return 0; }
      done
      return 1
      ;;
    75) reason="communication failed or stalled (75)" ;;
    134 | 135 | 136 | 139) reason="a rank crashed ($code, signal $((code - 128)))" ;;
    137) reason="a rank was killed (137: kill -9, or out of memory)" ;;
    205) reason="mpirun lost a host (205)" ;;
    255) reason="a rank is gone: another lost its connection to it (255)" ;; # before mpirun heard of it
    *)
      [ "$code" -gt 128 ] || return 1
      reason="mpirun ended with $code"
      ;;
  esac
}

set_open_mpi
stuck=0 reason=''
for ((restarts = 0; ; restarts++)); do
  [ -n "$in_job" ] || choose_hosts $restarts || { code=75; reason='no host answers'; use=(); }
  before=$(newest_step)
  if [ -n "$in_job" ] || [ ${#use[@]} -gt 0 ]; then
    choose_interface
    choose_command
    [ $n_stops -eq 0 ] || fail 7 "stopped before the start"
    run_once
    [ "$code" -eq 0 ] && [ -e "$out_dir/done.json" ] && exit 0
    sweep
    if [ $n_stops -gt 0 ]; then # 138: a rank that was not ready for the signal; nothing was done yet
      [ "$code" -eq 7 ] || say "stopped (mpirun ended with $code); the last checkpoint is $(newest_step || echo none)"
      exit 7
    fi
    [ "$code" -ne 7 ] || exit 7
    worth_another || exit "$code"
  fi
  after=$(newest_step)
  if [ "$after" = "$before" ]; then stuck=$((stuck + 1)); else stuck=0; fi
  if [ "$max_restarts" -eq 0 ]; then
    say "$reason; the last checkpoint is step ${after:-0}"
    exit $((code == 0 ? 75 : code))
  fi
  if [ $stuck -gt "$max_restarts" ]; then
    say "giving up after $restarts restarts, the last $((stuck > 0 ? stuck - 1 : 0)) without a checkpoint after step ${after:-0}: $reason"
    exit 75
  fi
  say "$reason; going on from step ${after:-0} (restart $((restarts + 1)))"
  # A host or a switch that comes back needs a moment: 1, 2, 4 ... 30 s.
  pause=$((stuck > 5 ? 30 : 1 << stuck))
  for ((i = 0; i < 2 * pause && n_stops == 0; i++)); do sleep 0.5; done
  [ $n_stops -eq 0 ] || fail 7 "stopped between two starts; the last checkpoint is step ${after:-0}"
done
