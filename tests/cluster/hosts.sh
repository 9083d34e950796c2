# shellcheck shell=bash
# Sourced on the login host that enter.sh makes: virtual hosts h1, h2, ... at 10.77.0.1, .2, ..., each
# with network, UTS, IPC, PID and mount namespaces of its own, and what can happen to them.
# State of a host: $SHOAL_CLUSTER/HOST/.
: "${SHOAL_CLUSTER:?hosts.sh is for scripts that tests/cluster/enter.sh runs}"

# Starts h1 .. h$1.
hosts_up() {
  local i
  for ((i = 1; i <= $1; i++)); do echo "10.77.0.$i h$i" >>"$SHOAL_CLUSTER/hosts"; done
  for ((i = 1; i <= $1; i++)); do host_boot "h$i" || return 1; done
}

# host_boot HOST: starts it, also again after host_crash or host_die (its /tmp is empty then).
host_boot() {
  local host=$1 dir=$SHOAL_CLUSTER/$1 starter pid=''
  mkdir -p "$dir"
  rm -f "$dir"/{ready,frozen,pid}
  ip link delete "$host" 2>/dev/null # of the host that died; its namespace may take a while
  setsid unshare --net --uts --ipc --mount --pid --fork --kill-child=KILL --propagation private \
    "$SHOAL_SOURCE_DIR/tests/cluster/start_host.sh" "$host" </dev/null >"$dir/boot.log" 2>&1 &
  starter=$!
  disown
  until [ -e "$dir/ready" ]; do
    kill -0 $starter 2>/dev/null || { cat "$dir/boot.log"; return 1; }
    sleep 0.01
  done
  pid=$(pgrep -P $starter)
  echo "$pid" >"$dir/pid"
  ip link add "$host" type veth peer name eth0 address "$(printf '02:00:00:00:00:%02x' "${host#h}")" netns "$pid"
  ip link set "$host" master br0 up
  nsenter -t "$pid" -n ip address add "10.77.0.${host#h}/24" dev eth0
  nsenter -t "$pid" -n ip link set eth0 up
}

# on HOST COMMAND...: runs it there, in this folder.
on() {
  local host=$1 pid
  shift
  pid=$(cat "$SHOAL_CLUSTER/$host/pid" 2>/dev/null) || { echo "$host is down" >&2; return 255; }
  (
    [ ! -e "$SHOAL_CLUSTER/$host/cgroup" ] || echo "$BASHPID" >"$(cat "$SHOAL_CLUSTER/$host/cgroup")/cgroup.procs"
    exec nsenter -t "$pid" -n -u -i -m -p --wd="$PWD" "$@"
  )
}

# Every process of the host ends; the network is there and says so to its peers.
host_die() {
  local pid
  pid=$(cat "$SHOAL_CLUSTER/$1/pid")
  kill -KILL "$pid"
  wake_entrances
  while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
  rm -f "$SHOAL_CLUSTER/$1/pid"
}

# A power failure: nobody is told anything.
host_crash() {
  host_link "$1" down
  host_die "$1"
}

# host_link HOST up|down
host_link() {
  ip link set "$1" "$2"
}

host_processes() {
  local ns p
  ns=$(readlink "/proc/$(cat "$SHOAL_CLUSTER/$1/pid")/ns/pid")
  for p in /proc/[0-9]*; do
    [ "$(readlink "$p/ns/pid" 2>/dev/null)" != "$ns" ] || echo "${p#/proc/}"
  done
}

# Every process of the host stands still, the kernel answers for it; host_thaw ends that.
host_freeze() {
  touch "$SHOAL_CLUSTER/$1/frozen" # remote_shell.sh hangs, as ssh would
  host_processes "$1" | grep -vx "$(cat "$SHOAL_CLUSTER/$1/pid")" | xargs -r kill -STOP
}
host_thaw() {
  rm "$SHOAL_CLUSTER/$1/frozen"
  host_processes "$1" | xargs -r kill -CONT
  wake_entrances
}

# nsenter stops itself where what it runs was stopped, and then reaps nothing.
wake_entrances() {
  pkill -CONT -x nsenter
  return 0
}

# host_rate HOST 10mbit: limits the wire both ways; host_rate HOST "" takes the limit away.
host_rate() {
  local host=$1 rate=$2 pid
  pid=$(cat "$SHOAL_CLUSTER/$host/pid")
  tc qdisc delete dev "$host" root 2>/dev/null
  nsenter -t "$pid" -n tc qdisc delete dev eth0 root 2>/dev/null
  [ -n "$rate" ] || return 0
  tc qdisc add dev "$host" root tbf rate "$rate" burst 64kb latency 50ms &&
    nsenter -t "$pid" -n tc qdisc add dev eth0 root tbf rate "$rate" burst 64kb latency 50ms
}

# host_delay HOST MS [LOSS_PERCENT]: delays the wire each way; host_delay HOST 0 takes it away.
host_delay() {
  local host=$1
  if [ -e "$SHOAL_CLUSTER/$host/wire" ]; then
    kill "$(cat "$SHOAL_CLUSTER/$host/wire")"
    rm "$SHOAL_CLUSTER/$host/wire"
    ip link delete "b$host"
    ip link set "$host" master br0
  fi
  [ "$2" != 0 ] || return 0
  ip link add "b$host" type veth peer name "d$host"
  ip link set "$host" nomaster
  ip link set "b$host" master br0 up
  ip link set "d$host" up
  setsid "$SHOAL_CLUSTER_TOOLS/slow_wire" "$host" "d$host" "${@:2}" </dev/null >>"$SHOAL_CLUSTER/$host/wire.log" 2>&1 &
  echo $! >"$SHOAL_CLUSTER/$host/wire"
  disown
}

# host_memory HOST MIB: what is started there from now on may use this much, or is killed. Fails
# where this machine's control groups cannot be written.
host_memory() {
  local host=$1 mib=$2 group
  rm -f "$SHOAL_CLUSTER/$host/cgroup"
  [ -n "$mib" ] || return 0
  if [ -d /run/cgroup/memory ]; then
    group=/run/cgroup/memory/$SHOAL_CLUSTER_NAME-$host
    mkdir -p "$group" && echo $((mib << 20)) >"$group/memory.limit_in_bytes" || return 1
  else
    group=/run/cgroup/$SHOAL_CLUSTER_NAME-$host
    mkdir -p "$group" && echo $((mib << 20)) >"$group/memory.max" || return 1
  fi 2>/dev/null
  echo "$group" >"$SHOAL_CLUSTER/$host/cgroup"
}

# Processes of the program on all hosts, one line each.
program_processes() {
  pgrep -a -x "$(basename "$SHOAL_BINARY")|orted"
}
