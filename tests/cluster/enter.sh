#!/usr/bin/env bash
# enter.sh COMMAND...: runs COMMAND as the login host of a cluster of its own: in fresh network, UTS,
# IPC, mount and PID namespaces, in which hosts.sh starts virtual hosts and slurm.sh a SLURM. When
# COMMAND ends, however it ends, the kernel ends every process in them, and mounts and interfaces go
# with them; the machine itself is never touched. `tests/cluster/enter.sh bash` is for trying things
# by hand. Exit code: COMMAND's, or 77 with the reason where this machine cannot do it.
# One at a time on a machine: timings on shared cores would tell nothing. $SHOAL_CLUSTER_LOCK names another
# lock, for who wants several all the same: they have nothing else in common.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd -P)
: "${SHOAL_SOURCE_DIR:=$(cd "$here/../.." && pwd -P)}"
: "${SHOAL_BINARY:=$SHOAL_SOURCE_DIR/build/release/shoal}"
tools=$(dirname "$SHOAL_BINARY")
export SHOAL_BINARY SHOAL_SOURCE_DIR SHOAL_CLUSTER_TOOLS=$tools SHOAL_CLUSTER_NAME=shoal-cluster-$$

skip() {
  echo "skipped: $*"
  exit 77
}

for tool in unshare nsenter setpriv flock ip tc mpirun ssh; do
  command -v "$tool" >/dev/null || skip "$tool is not installed; ci/install-deps.sh --cluster does that"
done
[ -x "$tools/host_init" ] || skip "$tools/host_init is not built"
# A root without the right to make namespaces (most containers) tries as a user, too.
namespaces=(unshare --net --uts --ipc --mount --pid --fork --mount-proc --propagation private)
if ! "${namespaces[@]}" true 2>/dev/null; then
  namespaces+=(--user --map-root-user)
  "${namespaces[@]}" true 2>/dev/null || skip "needs root or user namespaces, and here is neither"
fi

exec 9>"${SHOAL_CLUSTER_LOCK:-/tmp/shoal-cluster.$(id -u).lock}"
flock --timeout 1200 9 || skip "another cluster has been up on this machine for 20 minutes"

# The end of this shell is the end of process 1 in there, and that is the end of all the others.
setpriv --pdeathsig KILL "${namespaces[@]}" --kill-child=KILL \
  "$tools/host_init" "$here/login_host.sh" "$@" 9>&- &
inside=$!
trap 'kill -KILL $inside 2>/dev/null; exit 130' INT TERM HUP
wait $inside
code=$?
for group in /sys/fs/cgroup/{memory/,}"$SHOAL_CLUSTER_NAME"-*; do
  [ ! -d "$group" ] || rmdir "$group" 2>/dev/null # of a host whose memory was limited
done
exit $code
