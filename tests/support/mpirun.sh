#!/bin/sh
# mpirun.sh N PROGRAM ARGS...: runs a test on N ranks of this machine, as root and on few cores too.
n=$1
shift
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
exec mpirun --oversubscribe --bind-to none --mca btl_vader_single_copy_mechanism none \
  --mca mpi_yield_when_idle 1 -n "$n" "$@"
