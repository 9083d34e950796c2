#!/usr/bin/env bash
# launch/slurm.sbatch under a real SLURM on virtual hosts: what takes longer, srun,
# the time limit itself, lost ranks and nodes, arrays.
. "${SHOAL_SOURCE_DIR:?}/tests/cluster/cluster_test.sh"
# shellcheck source=tests/cluster/slurm_test.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/slurm_test.sh"

# ---- srun in mpirun's place
export SHOAL_LAUNCH=srun
submit srun
over srun COMPLETED
has "2 ranks x"
same_weights alone srun
none_left srun
export SHOAL_LAUNCH=mpirun

# ---- Time is nearly up: notice, save, another turn, by srun
export SHOAL_LAUNCH=srun
submit notice_srun
until_true 60 checkpoint_stands notice_srun
scancel --batch --signal=USR1 "$job" # what --signal=B:USR1@120 sends
over notice_srun COMPLETED
has "USR1: every rank saves"
has "ended with 7: to be queued again"
turns notice_srun 2
same_weights alone notice_srun
export SHOAL_LAUNCH=mpirun

# ---- The time limit itself: notice comes up to 30 s early, and the turn ends before the limit
submit limit --time=1 --signal=B:USR1@45 train.epochs=200 train.max_steps=40
until_true 90 grep -q "to be queued again" limit/job.out
over limit COMPLETED
has "USR1: every rank saves"
[ "$(lines limit)" = 40 ] || fail "limit: $(lines limit) steps"

# ---- A rank that is killed, and a node that is lost
submit killed
until_true 60 checkpoint_stands killed
kill -KILL "$(pgrep -x shoal | head -n 1)"
over killed COMPLETED
has "ended with 137: to be queued again"
same_weights alone killed
submit lost
until_true 60 checkpoint_stands lost
node=$(scontrol show job "$job" -o | sed -nE 's/.* NodeList=([^ ]*).*/\1/p')
node=$(scontrol show hostnames "$node" | tail -n 1)
host_crash "$node"
over lost COMPLETED
turns lost 2
same_weights alone lost
none_left lost
host_boot "$node" && slurm_node "$node"
until_true 60 slurm_idle 3

# ---- An array: one out_dir each
submit array --array=0-1%1 train.out_dir=out%a train.max_steps=2
until_true 100 test -e array/out0/done.json
until_true 100 test -e array/out1/done.json
finish
