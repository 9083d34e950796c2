# shellcheck shell=bash disable=SC2034
# Sourced first by the tests of this folder: runs the test inside enter.sh, with the small data set's
# helpers (tests/train/small_run.sh) and a few more.
if [ -z "${SHOAL_CLUSTER:-}" ]; then
  exec "${SHOAL_SOURCE_DIR:?}/tests/cluster/enter.sh" bash "$0"
fi
export SHOAL_TEST_BASE=/run/work # shared by the hosts, and gone with them
# shellcheck source=tests/train/small_run.sh
. "$SHOAL_SOURCE_DIR/tests/train/small_run.sh"
# shellcheck source=tests/cluster/hosts.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/hosts.sh"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
remote_shell=$SHOAL_SOURCE_DIR/tests/cluster/remote_shell.sh

began=$SECONDS
# within SECONDS WHAT: fails where more than that has passed since began=$SECONDS was set.
within() {
  local took=$((SECONDS - began))
  [ $took -le "$1" ] || fail "$2: took $took s, want $1 or less"
}

# until_true SECONDS COMMAND...: until COMMAND succeeds; fails with what was waited for.
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || { fail "waited in vain for: $*"; return 1; }
    sleep 0.05
  done
}

# No program and no launcher is left on any host; one that is being ended has three seconds.
none_left() {
  local end=$((SECONDS + 3))
  while program_processes >/dev/null && [ $SECONDS -lt $end ]; do sleep 0.1; done
  ! program_processes >left || fail "$1: processes are left: $(cat left)"
}
