#!/usr/bin/env bash
# shellcheck disable=SC2317 # acts are called by name
# launch/slurm.sbatch under a real SLURM on virtual hosts: jobs save, are queued again,
# go on, and end as a run that was left alone.
. "${SHOAL_SOURCE_DIR:?}/tests/cluster/cluster_test.sh"
# shellcheck source=tests/cluster/slurm_test.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/slurm_test.sh"
slurm_begin 3
fast=--nodelist=h1,h2 # h3 is for the more urgent

# ---- All are submitted at once; first the time limit itself, which SLURM looks at every 30 s
SHOAL_FAULT=slow:0:3 submit limit $fast --time=1 --signal=B:USR1@45
submit alone $fast --gpus-per-node=1
SHOAL_LAUNCH=srun submit srun $fast
submit four $fast --ntasks-per-node=2
submit notice $fast
at_checkpoint notice notify
SHOAL_LAUNCH=srun submit notice_srun $fast
at_checkpoint notice_srun notify
submit requeued $fast
at_checkpoint requeued requeue
SHOAL_LAUNCH=srun submit requeued_srun $fast
at_checkpoint requeued_srun requeue
submit preempted --nodelist=h2,h3
at_checkpoint preempted want_h3
want_h3() {
  urgent=$(sbatch --parsable --partition=urgent --nodelist=h3 --exclusive --output=/dev/null --wrap 'sleep 1')
}
submit cancelled $fast
at_checkpoint cancelled cancel
submit wrong $fast train.bach=1
SHOAL_FAULT=kill:1:5 SHOAL_MAX_RESTARTS=1 submit limited $fast
submit array $fast --array=0-1 train.out_dir=out%a train.max_steps=2

# Sites where users may not queue a job again, with RequeueExit=99 and without it; and a launcher that ends
# with 0 after a lost node.
mkdir -p refuses forgets lies
real=$(command -v scontrol)
echo "#!/bin/sh
[ \"\$1\" != requeue ] || { echo 'scontrol: error: Access/permission denied' >&2; exit 1; }
exec $real \"\$@\"" >refuses/scontrol
sed "s|^exec.*|$real \"\$@\" \| grep -v ^RequeueExit|" refuses/scontrol >forgets/scontrol
echo "#!/bin/sh
[ -n \"\$SLURM_RESTART_COUNT\" ] || exit 0
exec $(command -v mpirun) \"\$@\"" >lies/mpirun
chmod +x refuses/scontrol forgets/scontrol lies/mpirun
PATH=$work/refuses:$PATH submit refused $fast
at_checkpoint refused notify
PATH=$work/forgets:$PATH submit forgotten $fast
at_checkpoint forgotten notify
PATH=$work/lies:$PATH submit zero $fast
perform_acts

# ---- srun without PMI: every task thinks it is alone
mkdir -p pmi
expect bad "srun without PMI" env -C pmi srun --nodelist=h1,h2 --nodes=2 --ntasks=2 --mpi=none "$shoal" train ../small.yaml "${settings[@]}"
has "--mpi=pmix"
[ ! -e pmi/out/checkpoints ] || fail "srun without PMI left $(find pmi/out)"

# ---- Left alone, by either launcher, and in other numbers
over alone COMPLETED 0
turns alone 1
has complete
has "2 ranks x"
[ "$(lines alone)" = $steps ] || fail "alone: $(lines alone) steps"
good srun 1
has "2 ranks x"
over four COMPLETED 0
has "4 ranks x"
close_losses alone four

# ---- Time is nearly up: notice, save, another turn
for name in notice notice_srun; do
  good $name 2
  has "ended with 7: to be queued again"
  took 20 "USR1: every rank saves" "ended with 7"
done

# ---- Queued again from outside; a more urgent job wants the nodes
# (SLURM says TERM, to other processes each time, and would say KILL after 10 and 20 s.)
for name in requeued requeued_srun; do
  good $name 2
  has "ended with 7; SLURM is ending the job already"
  has_not "stopped (mpirun"
done
good preempted 2
has "ended with 7: to be queued again"
slurm_is "$urgent" COMPLETED || fail "the urgent job is $(slurm_state "$urgent")"

# ---- Cancelled is cancelled; what is wrong is not tried again; a limit is a limit
over cancelled CANCELLED
has "ended with 7; SLURM is ending the job already"
has_not "stopped (mpirun"
turns cancelled 1
over wrong FAILED 2
has "unknown key"
turns wrong 0
over limited FAILED 137
has "not queued again after 1 times"
turns limited 2

# ---- What a site forbids
good refused 2
has "ended with 7: to be queued again"
has "Access/permission denied"
over forgotten FAILED 7
has "submit it anew"
turns forgotten 1
submit forgotten $fast # the same again
good forgotten 2

# ---- What counts is done.json
good zero 2
has "done.json is not there"

# ---- An array: one out_dir each
until_true 100 test -e array/out0/done.json
until_true 100 test -e array/out1/done.json

# ---- Time was up
over limit COMPLETED 0
has "USR1: every rank saves"
has "ended with 7: to be queued again"
same_weights alone limit
none_left "all of it"
finish
