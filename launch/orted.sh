#!/usr/bin/env bash
# Stands in orted's place on the other nodes of a SLURM job (mpirun.sh sees to that). Before it takes the nodes away SLURM
# says TERM to what it has started there; orted would end at once, and every rank with it. Here the ranks
# are asked to save and leave instead, and orted does not hear of it.
set -uo pipefail
trap 'pkill -USR1 -P "$orted"' TERM
trap : USR1 USR2 # orted has them too, and passes them on
block=()
! env --block-signal=TERM true 2>/dev/null || block=(env --block-signal=TERM) # coreutils 8.31 or later
${block[@]+"${block[@]}"} orted "$@" &
orted=$!
while :; do # a trapped signal ends wait, not what it waits for
  wait "$orted"
  code=$?
  kill -0 "$orted" 2>/dev/null || exit $code
done
