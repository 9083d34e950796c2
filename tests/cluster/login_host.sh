#!/usr/bin/env bash
# login_host.sh COMMAND...: the second half of enter.sh, inside its namespaces: makes the login host,
# joined by a bridge to the hosts to come, and runs COMMAND on it.
set -euo pipefail
# /run is the folder that all hosts share, as over NFS; /tmp and /dev/shm are each host's own.
mount -t tmpfs -o mode=0755 none /run
mkdir -p /run/cluster /run/work /run/cgroup /run/sshd /run/lock /run/munge
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
# slurmd 22.05 wants something here though nothing uses it.
mount -t tmpfs -o mode=0755,size=1m none /sys/fs/cgroup
# shellcheck source=tests/cluster/own_folders.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/own_folders.sh"
echo '127.0.0.1 localhost
10.77.0.100 login' >/run/cluster/hosts
mount --bind /run/cluster/hosts /etc/hosts
hostname login
ip link set lo up
# Without an address of its own it takes one from its ports, another one as hosts come and go, and
# hosts go on sending to the old one for a minute.
ip link add br0 address 02:00:00:00:00:64 type bridge forward_delay 0
ip address add 10.77.0.100/24 dev br0
ip link set br0 up
export SHOAL_CLUSTER=/run/cluster
exec "$@"
