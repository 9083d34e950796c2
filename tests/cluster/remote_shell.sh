#!/usr/bin/env bash
# remote_shell.sh [OPTION...] HOST COMMAND...: takes ssh's place between virtual hosts. It fails where
# the host is down or cut off, and hangs where it is frozen. From the login host only: PID
# namespaces cannot be entered from their sisters.
# shellcheck source=tests/cluster/hosts.sh
. "${SHOAL_SOURCE_DIR:?}/tests/cluster/hosts.sh"
while [ "${1#-}" != "$1" ]; do shift; done
host=$1
shift
[ ! -e "$SHOAL_CLUSTER/$host/frozen" ] || exec sleep infinity
if ! ip link show "$host" 2>/dev/null | grep 'state UP' >/dev/null; then
  echo "remote_shell.sh: $host: no route to host" >&2
  exit 255
fi
on "$host" sh -c "$*"
