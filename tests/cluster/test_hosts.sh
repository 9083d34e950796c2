#!/usr/bin/env bash
# shellcheck disable=SC2016 # what stands in single quotes is for the other end
# The virtual hosts themselves: what a fault does to a host is what the other tests rely on.
. "${SHOAL_SOURCE_DIR:?}/tests/cluster/cluster_test.sh"

hosts_up 2 || { fail "hosts_up"; finish; }
expect 0 "a command on a host" on h2 hostname
has h2
expect 0 "hosts know each other" on h1 getent hosts h2
has 10.77.0.2

# ---- Each host has its own /tmp, /dev/shm and processes; the work folder is everybody's
on h1 touch /tmp/mine /dev/shm/mine shared
expect 0 "a shared folder" on h2 test -e shared
expect 1 "another host's /tmp" on h2 test -e /tmp/mine
expect 1 "another host's /dev/shm" on h2 test -e /dev/shm/mine
expect 0 "its own processes" on h1 pgrep -a .
[ "$(grep -c host_init log)" = 1 ] || fail "not alone: $(cat log)"

# ---- The network: a connection to a port of h2, from h1
listen() { # answers each caller with a line
  on h2 perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 5000, Listen => 5, ReuseAddr => 1) or die;
    while ($c = $s->accept) { print $c "hello\n"; close $c }' &
  until_true 10 call
}
call() {
  on h1 timeout 2 bash -c 'read -r line </dev/tcp/h2/5000 && echo "$line"' >log 2>&1
}
listen
expect 0 "a connection" call
has hello
host_link h2 down
expect bad "a link that is down" call
host_link h2 up
until_true 10 call

milliseconds() { # of one call
  local from=${EPOCHREALTIME/./}
  call || fail "no call"
  echo $(((${EPOCHREALTIME/./} - from) / 1000))
}
quick=$(milliseconds)
host_delay h2 50
until_true 10 call
slow=$(milliseconds) # two ways there and back: the handshake, the line
host_delay h2 0
[ "$slow" -ge $((quick + 100)) ] || fail "50 ms each way: $quick ms before, $slow ms with it"
until_true 10 call

# ---- A frozen host takes connections and says nothing; thawed, it goes on
host_freeze h2
expect 124 "a frozen host" on h1 timeout 1 bash -c 'read -r line </dev/tcp/h2/5000'
expect 124 "a shell on a frozen host" timeout 1 "$remote_shell" h2 true
host_thaw h2
until_true 10 call

# ---- Death, crash, boot
expect 0 "a remote shell" "$remote_shell" -x h2 hostname '&&' echo '$((1+1))'
has h2
has 2
host_crash h2
expect 255 "a shell on a crashed host" "$remote_shell" h2 true
host_boot h2 || fail "boot"
expect 0 "a host that is back" "$remote_shell" h2 true
expect 1 "nothing of its past" "$remote_shell" h2 pgrep perl

# ---- MPI over both hosts, by the remote shell
expect 0 "mpirun" mpirun --mca plm_rsh_agent "$remote_shell" --mca plm_rsh_no_tree_spawn 1 --host h1:1,h2:1 -n 2 hostname
has h1
has h2
none_left mpirun
finish
