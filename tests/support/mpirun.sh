#!/bin/sh
# mpirun.sh N PROGRAM ARGS...: runs a test on N ranks of this machine, as root and on few cores too.
# SHOAL_RANKS_AS_HOSTS=1: each rank is a host of its own to NCCL, which before 2.30 refuses two ranks on
# one GPU of a host.
n=$1
shift
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
if [ -n "${SHOAL_RANKS_AS_HOSTS:-}" ]; then
  # shellcheck disable=SC2016 # the rank's own shell says which it is
  set -- sh -c 'NCCL_HOSTID=rank-$OMPI_COMM_WORLD_RANK; export NCCL_HOSTID; exec "$0" "$@"' "$@"
fi
exec mpirun --oversubscribe --bind-to none --mca btl_vader_single_copy_mechanism none \
  --mca mpi_yield_when_idle 1 -n "$n" "$@"
