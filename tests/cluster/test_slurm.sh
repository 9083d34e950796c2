#!/usr/bin/env bash
# launch/slurm.sbatch under a real SLURM on virtual hosts: jobs save, are queued again,
# go on, and end as a run that was left alone.
. "${SHOAL_SOURCE_DIR:?}/tests/cluster/cluster_test.sh"
# shellcheck source=tests/cluster/slurm_test.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/slurm_test.sh"

has complete
has "2 ranks x"
none_left alone

# ---- srun without PMI: every task thinks it is alone
mkdir -p pmi
expect bad "srun without PMI" env -C pmi srun --nodes=2 --ntasks=2 --mpi=none "$shoal" train ../small.yaml "${settings[@]}"
has "--mpi=pmix"
[ ! -e pmi/out/checkpoints ] || fail "srun without PMI left $(find pmi/out)"

# ---- Time is nearly up: notice, save, another turn
submit notice
until_true 60 checkpoint_stands notice
scancel --batch --signal=USR1 "$job" # what --signal=B:USR1@120 sends
over notice COMPLETED
has "USR1: every rank saves"
has "ended with 7: to be queued again"
turns notice 2
same_weights alone notice

# ---- A more urgent job wants the nodes
submit preempted
until_true 60 checkpoint_stands preempted
urgent=$(sbatch --parsable --partition=urgent --nodes=3 --ntasks-per-node=2 --output=/dev/null --wrap 'sleep 3')
over preempted COMPLETED
turns preempted 2
has "TERM: every rank saves"
slurm_is "$urgent" COMPLETED || fail "the urgent job is $(slurm_state "$urgent")"
same_weights alone preempted

# ---- Cancelled is cancelled; what is wrong is not tried again; a limit is a limit
submit cancelled
until_true 60 checkpoint_stands cancelled
scancel "$job"
over cancelled CANCELLED
has_not "to be queued again"
turns cancelled 1
submit wrong train.bach=1
over wrong FAILED
has "unknown key"
SHOAL_MAX_RESTARTS=0 submit limited
until_true 60 checkpoint_stands limited
scancel --batch --signal=USR1 "$job"
over limited FAILED
has "not queued again after 0 times"
turns limited 1

finish
