# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by mpirun.sh: the hosts, what is asked of them and what is left behind there, and how Open MPI is to
# reach them. Reads what mpirun.sh was told (hosts, slots, interface, bind, rsh, shoal, batch, devices,
# timeout_s, in_job, folder); sets use, use_slots, n_ranks and options.

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
# What ranks of one host share lies in a folder of this job's, so that no killed one leaves anything behind.
segments=/dev/shm/shoal-job.$SHOAL_JOB
# Run on every host: whether it can take ranks, its cores, and "segments" where that folder is there. Folders
# of jobs whose launcher was killed too go after a day.
question() {
  cat <<END
test -x $(printf %q "$shoal") || exit 82
lscpu -p=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l
mkdir -p -m 700 $segments 2>/dev/null && echo segments
find /dev/shm -maxdepth 1 -name 'shoal-job.*' -user "\$(id -un)" -mtime +0 2>/dev/null | while read -r old; do
  grep -qszx "SHOAL_JOB=\${old#/dev/shm/shoal-job.}" /proc/[0-9]*/environ || rm -rf "\$old"
done
true
END
}
# Every host's answer: $folder/HOST.code, and what it printed in $folder/HOST.
probe() {
  local host
  unswept=yes
  for host in "$@"; do
    (
      reach "$host" "$(question)" >"$folder/$host" 2>"$folder/$host.error"
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
    *) echo "$1 does not answer${rsh:+ ($rsh $1: $(head -c 200 "$folder/$1.error" | tr '\n' ' '))}" ;;
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

# Open MPI's segments go where sweep finds them, if every host has the place.
choose_segments() {
  local host
  for host in "${use[@]}"; do
    grep -qx segments "$folder/$host" || return
  done
  default OMPI_MCA_btl_vader_backing_directory "$segments"
}

# One rank a host takes all of it; several share it out, where each gets a core at least.
choose_binding() {
  local i share=1000000 most=1
  for i in "${!use[@]}"; do
    local cores
    cores=$(head -n 1 "$folder/${use[i]}")
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

# After an attempt: ends ranks that a killed mpirun could not reach, never anybody else's, and takes away what
# they shared.
sweep() {
  local host command
  [ -n "${unswept:-}" ] || return
  unswept=''
  command="for p in /proc/[0-9]*; do
      grep -qzx SHOAL_JOB=$SHOAL_JOB \$p/environ && test \"\$(readlink \$p/exe)\" = $(printf %q "$shoal") &&
        kill -KILL \${p#/proc/}
    done 2>/dev/null; rm -rf $segments; true"
  for host in "${hosts[@]}"; do
    answers "$host" || continue
    probe_s=3 reach "$host" "$command" >/dev/null 2>&1 &
    probes+=($!)
  done
  [ ${#probes[@]} -eq 0 ] || wait "${probes[@]}"
  probes=()
}
