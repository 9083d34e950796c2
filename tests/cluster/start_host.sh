#!/usr/bin/env bash
# start_host.sh HOST: the half of hosts.sh's host_boot that runs inside the new host's namespaces.
set -euo pipefail
host=$1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=0755,size=1m none /sys/fs/cgroup
mount -t tmpfs -o mode=0755,size=1m none /run/munge
# shellcheck source=tests/cluster/own_folders.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/own_folders.sh"
hostname "$host"
ip link set lo up
touch "/run/cluster/$host/ready"
exec "$SHOAL_CLUSTER_TOOLS/host_init"
