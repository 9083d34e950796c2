#!/usr/bin/env bash
# shellcheck disable=SC2317 # expect calls them
# Every command of docs/clusters.md, in its order, over virtual hosts with ssh and SLURM. A config of the
# demo's name stands for the demo.
. "${SHOAL_SOURCE_DIR:?}/tests/cluster/cluster_test.sh"
# shellcheck source=tests/cluster/page.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/page.sh"
# shellcheck source=tests/cluster/slurm.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/slurm.sh"
# shellcheck source=tests/cluster/ssh.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/ssh.sh"
why=$(slurm_possible) || { echo "skipped: $why"; exit 77; }
page=$SHOAL_SOURCE_DIR/docs/clusters.md

# What the page shows and nothing here can run, line by line: a line more or less there is a failure.
cat >not_run <<'END'
sbatch --nodes=4 --ntasks-per-node=8 --gpus-per-node=8 --cpus-per-task=12 --mem=0 --time=12:00:00 launch/slurm.sbatch configs/coco_r50_fpn.yaml train.device=cuda
ls /sys/class/infiniband
launch/mpirun.sh --interface ib0 --hosts gpu1:8,gpu2:8 configs/coco_r50_fpn.yaml train.device=cuda
END
# check_page PAGE: its commands are in the folder commands, and all that are not run are known.
check_page() {
  page_commands "$1" commands && diff not_run commands/not_run
}
# run_block BLOCK: as a reader would, in the folder that holds build/ and launch/. Where a block waits for a run's first
# step it has something in mind for the rest: that is not over in no time then.
run_block() {
  local fault=''
  ! grep -q 'until test -e .*metrics.jsonl' "$1" || fault=slow:0:0.5
  SHOAL_FAULT=$fault timeout 200 env -u SHOAL_BINARY bash -eu "$1"
}

# ---- A command that no test runs is noticed, wherever it stands
expect 0 "the page" check_page "$page"
n_blocks=$(find commands -name 'block*' | wc -l)
[ "$n_blocks" -ge 12 ] || fail "only $n_blocks blocks of commands"
with() { # TEXT: the page and this
  { cat "$page" && printf '%s\n' "$1"; } >with.md
}
with $'```sh\nfalse\n```'
expect 0 "a block more" check_page with.md
expect 1 "a command that fails" run_block "commands/block$((n_blocks + 1))"
while IFS= read -r text; do
  with "$(printf '%b' "$text")"
  expect 1 "a page with $text" check_page with.md
done <<'END'
```bash\nsbatch other.sbatch\n```
```\nsbatch other.sbatch\n```
~~~\nsbatch other.sbatch\n~~~
\n    sbatch other.sbatch
<pre>sbatch other.sbatch</pre>
Then `scontrol reboot h1` helps.
```sh\n# Not run by a test: no reason at all.\nsbatch other.sbatch\n```
```sh\nsbatch other.sbatch
END
grep -v '^ls /sys/class/infiniband' "$page" >with.md
expect 1 "a page without a command that is not run" check_page with.md
expect 0 "the page again" check_page "$page"

# ---- Every block
make_small_set
mkdir -p configs build
ln -s "$(dirname "$SHOAL_BINARY")" build/release
ln -s "$SHOAL_SOURCE_DIR/launch" launch
sed 's/out_dir: out/out_dir: runs\/demo/; s/batch: 2, micro_batch/batch: 4, micro_batch/; s/every_steps: 2, keep: 3/every_steps: 3, keep: 1/
  s/trainable_stages: 5/trainable_stages: 0/' small.yaml >configs/demo.yaml
ssh_prepare
hosts_up 3 || { fail "hosts_up"; finish; }
ssh_up h1 h2 h3
slurm_age=4
slurm_up 3 || { fail "slurm_up"; finish; }
export SHOAL_BIND=none # virtual hosts share their cores
for block in commands/block*; do
  expect 0 "$(head -n 1 "$block")" run_block "$block"
done
test -s runs/scaling/scaling.png || fail "no picture"
grep -q "to be queued again" turns.out || fail "turns.out: $(cat turns.out)"
none_left "the page"
finish
