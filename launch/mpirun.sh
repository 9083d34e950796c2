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
trap 'rm -rf "$folder"' EXIT
# Stands in every rank's environment, on every host: they can be told from any other process.
SHOAL_JOB=$(hostname)-$$-$RANDOM
export SHOAL_JOB

# ---- Open MPI: what the environment does not say already
default() {
  [ -n "${!1:-}" ] || export "$1=$2"
}
within() { # VALUE LEAST MOST
  echo $(($1 < $2 ? $2 : $1 > $3 ? $3 : $1))
}
set_open_mpi() {
  [ "$(id -u)" -ne 0 ] || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  export OMPI_MCA_plm_rsh_agent=$rsh
  default OMPI_MCA_plm_rsh_no_tree_spawn 1 # hosts need not reach each other by ssh
  # A host that is gone sends nothing, ever: ask it. mpirun must notice before the ranks' own
  # watchdogs end them (comm.timeout_s), or it waits for the lost host for ever.
  default OMPI_MCA_oob_tcp_keepalive_time "$(within $((timeout_s / 8)) 2 20)"
  default OMPI_MCA_oob_tcp_keepalive_intvl "$(within $((timeout_s / 24)) 1 5)"
  default OMPI_MCA_oob_tcp_keepalive_probes 5
  default OMPI_MCA_btl_vader_single_copy_mechanism none # containers forbid it
  if ! compgen -G '/sys/class/infiniband/*' >/dev/null; then # spares a search at every start
    default OMPI_MCA_pml ob1
    default OMPI_MCA_btl self,vader,tcp
  fi
}

# The network between the hosts. Docker's and other bridges look alike on every host and lead nowhere.
choose_interface() {
  local device net=$interface
  if [ -z "$net" ] && [ ${#use[@]} -eq 1 ] && is_local "${use[0]}"; then net=lo; fi
  if [ -z "$net" ] && [ -z "$in_job" ] && command -v ip >/dev/null; then
    local address other=${use[0]}
    ! is_local "$other" || other=${use[1]}
    address=$(getent ahostsv4 "$other" | awk 'NR == 1 { print $1 }')
    device=$(ip -o -4 route get "$address" 2>/dev/null | sed -nE '/ via /!s/.* dev ([^ ]+) .*/\1/p')
    [ -z "$device" ] || net=$(ip -o -4 route show dev "$device" scope link proto kernel | awk 'NR == 1 { print $1 }')
  fi
  if [ -n "$net" ]; then
    default OMPI_MCA_btl_tcp_if_include "$net"
    default OMPI_MCA_oob_tcp_if_include "$net"
    [[ $net == */* || $net == lo ]] || default NCCL_SOCKET_IFNAME "$net"
  elif [ -z "${OMPI_MCA_btl_tcp_if_include:-}" ]; then
    default OMPI_MCA_btl_tcp_if_exclude 127.0.0.0/8,docker0,virbr0
    default OMPI_MCA_oob_tcp_if_exclude 127.0.0.0/8,docker0,virbr0
  fi
}

# ---- Hosts
is_local() {
  [ "$1" = localhost ] || [ "$1" = "$(hostname)" ]
}
reach() { # HOST SHELL_COMMAND: there, in this folder
  local command
  command="cd $(printf %q "$PWD") 2>/dev/null || exit 81; $2"
  # shellcheck disable=SC2086 # the shell may have options
  if is_local "$1"; then sh -c "$command"; else timeout -k 1 "$probe_s" $rsh "$1" "$command"; fi </dev/null
}
# Every host's answer to what a start needs: $folder/HOST.code, and its cores in $folder/HOST.
probe() {
  local host
  for host in "$@"; do
    (
      reach "$host" "test -x $(printf %q "$shoal") || exit 82
        lscpu -p=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l" >"$folder/$host" 2>"$folder/$host.error"
      echo $? >"$folder/$host.code"
    ) &
    probes+=($!)
  done
  wait "${probes[@]}"
  probes=()
}
answers() { # HOST, after probe
  [ "$(cat "$folder/$1.code")" = 0 ]
}
why_not() {
  case $(cat "$folder/$1.code") in
    81) echo "$1 has no folder $PWD: hosts share it, or hold copies at the same path" ;;
    82) echo "$1 has no program $shoal" ;;
    *) echo "$1 does not answer${rsh:+ ($rsh $1: $(tr '\n' ' ' <"$folder/$1.error" | head -c 200))}" ;;
  esac
}

# Sets use and use_slots: hosts that answer, as many as the largest number of ranks that divides
# train.batch wants. $1: how many restarts; at the first start every host has to answer.
choose_hosts() {
  local i total=0 ranks left take gone=()
  probe "${hosts[@]}"
  use=() use_slots=()
  for i in "${!hosts[@]}"; do
    if answers "${hosts[i]}"; then
      total=$((total + slots[i]))
    else
      gone+=("${hosts[i]}")
      say "$(why_not "${hosts[i]}")"
    fi
  done
  [ ${#gone[@]} -eq 0 ] || [ "$1" -gt 0 ] || fail 1 "not started: see to ${gone[*]}, or leave it out of the hosts"
  [ "$total" -gt 0 ] || return 1
  for ((ranks = total; ranks > 1; ranks--)); do
    [ $((batch % (ranks * devices))) -ne 0 ] || break
  done
  left=$ranks
  for i in "${!hosts[@]}"; do
    if [ $left -eq 0 ] || ! answers "${hosts[i]}"; then continue; fi
    take=$((slots[i] < left ? slots[i] : left))
    left=$((left - take))
    use+=("${hosts[i]}") use_slots+=("$take")
  done
  n_ranks=$ranks
  [ "$ranks" -eq "$total" ] ||
    say "$ranks ranks, not $total: train.batch $batch x devices_per_rank $devices has to be divisible by the ranks"
  [ ${#gone[@]} -eq 0 ] || say "going on without ${gone[*]}: $ranks ranks on ${use[*]}"
}

# One rank a host takes all of it; several share it out, where each gets a core at least.
choose_binding() {
  local i share=1000000 most=1
  for i in "${!use[@]}"; do
    local cores
    cores=$(cat "$folder/${use[i]}")
    [ $((cores / use_slots[i])) -ge $share ] || share=$((cores / use_slots[i]))
    [ "${use_slots[i]}" -le "$most" ] || most=${use_slots[i]}
  done
  if [ "$bind" = auto ] && [ "$most" -gt 1 ] && [ $share -ge 1 ]; then
    options+=(--map-by "slot:PE=$share" --bind-to core)
  else
    options+=(--bind-to none)
    if [ $share -eq 0 ] || [ "$bind" = none ]; then default OMPI_MCA_mpi_yield_when_idle 1; fi
  fi
}

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
    default OMPI_MCA_orte_launch_agent "$here/orted.sh"
    if [ "$bind" = auto ] && [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then
      options+=(--map-by "slot:PE=$SLURM_CPUS_PER_TASK" --bind-to core)
    else
      options+=(--bind-to none)
      default OMPI_MCA_mpi_yield_when_idle 1
    fi
  else
    for name in "${!use[@]}"; do list+=("${use[name]}:${use_slots[name]}"); done
    options+=(--host "$(IFS=,; echo "${list[*]}")")
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

# Ranks that a killed mpirun could not reach; never anybody else's.
end_ranks() {
  local host find
  find="for p in /proc/[0-9]*; do
      grep -qzx SHOAL_JOB=$SHOAL_JOB \$p/environ && test \"\$(readlink \$p/exe)\" = $(printf %q "$shoal") &&
        kill -KILL \${p#/proc/}
    done 2>/dev/null; true"
  for host in "${use[@]}"; do
    probe_s=3 reach "$host" "$find" >/dev/null 2>&1 &
    probes+=($!)
  done
  [ ${#probes[@]} -eq 0 ] || wait "${probes[@]}"
  probes=()
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
    *)
      [ "$code" -gt 128 ] || return 1
      reason="mpirun ended with $code"
      ;;
  esac
}

probes=()
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
    [ -n "$in_job" ] || end_ranks
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
