#!/usr/bin/env bash
# Every command of docs/clusters.md, in its order, over virtual hosts with ssh and SLURM. A config of the
# demo's name stands for the demo.
. "${SHOAL_SOURCE_DIR:?}/tests/cluster/cluster_test.sh"
# shellcheck source=tests/cluster/slurm.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/slurm.sh"
# shellcheck source=tests/cluster/ssh.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/ssh.sh"
why=$(slurm_possible) || { echo "skipped: $why"; exit 77; }
make_small_set
mkdir -p configs build
ln -s "$(dirname "$SHOAL_BINARY")" build/release
ln -s "$SHOAL_SOURCE_DIR/launch" launch
sed 's/out_dir: out/out_dir: runs\/demo/; s/batch: 2, micro_batch/batch: 4, micro_batch/' small.yaml >configs/demo.yaml
ssh_prepare
hosts_up 3 || { fail "hosts_up"; finish; }
ssh_up h1 h2 h3
slurm_up 3 || { fail "slurm_up"; finish; }
export SHOAL_BIND=none # virtual hosts share their cores

# The page's blocks of commands, each with its line.
awk -v folder="$work" '/^```sh$/ { inside = 1; n++; file = sprintf("%s/block%02d", folder, n); print "# docs/clusters.md:" NR >file; next }
  /^```/ { inside = 0 } inside { print >file }' "$SHOAL_SOURCE_DIR/docs/clusters.md"
set -- block*
[ $# -ge 10 ] || fail "only $# blocks of commands"
for block in "$@"; do
  expect 0 "$(head -n 1 "$block")" timeout 120 env -u SHOAL_BINARY bash -eu "$block"
done
test -s runs/scaling/scaling.png || fail "no picture"
none_left "the page"
finish
