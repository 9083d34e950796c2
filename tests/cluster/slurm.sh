# shellcheck shell=bash disable=SC2034
# Sourced after hosts.sh: a SLURM on the virtual hosts. slurmctld runs on the login host, slurmd on every
# other, munged on all; nothing of the machine's own configuration is read. Needs root.
slurm_folder=$SHOAL_CLUSTER/slurm
export SLURM_CONF=$slurm_folder/slurm.conf

# Whether it can run here; says why not.
slurm_possible() {
  local tool
  for tool in slurmctld slurmd munged sbatch; do
    command -v $tool >/dev/null || { echo "$tool is not installed; ci/install-deps.sh --cluster does that"; return 1; }
  done
  if [ "$(id -u)" != 0 ] || [ "$(awk '{ print $3 }' /proc/self/uid_map)" -eq 1 ]; then
    echo "SLURM needs root" # of a user namespace there is one user, and munge is another
    return 1
  fi
}

# slurm_up N: h1 .. hN are its nodes, six make-believe processors and two such GPUs each.
slurm_up() {
  local i
  mkdir -p "$slurm_folder"/{state,spool,log}
  chmod 755 "$SHOAL_CLUSTER" "$slurm_folder"
  head -c 1024 /dev/urandom >"$slurm_folder/munge.key"
  chown munge:munge "$slurm_folder/munge.key"
  chmod 400 "$slurm_folder/munge.key"
  for i in 0 1; do mknod "$slurm_folder/gpu$i" c 1 3; done
  echo "Name=gpu File=$slurm_folder/gpu[0-1]" >"$slurm_folder/gres.conf"
  echo CgroupPlugin=cgroup/v1 >"$slurm_folder/cgroup.conf" # slurmd 22.05 reads it though nothing uses it
  slurm_conf "$1" >"$SLURM_CONF"
  slurm_munge
  slurmctld
  for ((i = 1; i <= $1; i++)); do slurm_node "h$i"; done
  until_true 30 slurm_idle "$1"
}

# A machine's own settings with the waits cut short: a requeued job waits for its credential to expire (5 s is the least), a
# silent node is down after ten seconds. $slurm_track: how SLURM finds a job's processes (pgid: by their group;
# linuxproc: all descendants, which is next to what control groups find). $slurm_age: seconds for which it knows
# a job that is over; `sbatch --wait` asks every 2, 10, 42 s where that is long, every 2 s where it is 4.
# $slurm_more: a line of its own.
slurm_conf() {
  cat <<END
ClusterName=virtual
SlurmctldHost=login
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=cred_expire=5
RequeueExit=99
StateSaveLocation=$slurm_folder/state
SlurmdSpoolDir=$slurm_folder/spool/%n
SlurmctldPidFile=$slurm_folder/slurmctld.pid
SlurmdPidFile=$slurm_folder/slurmd.%n.pid
SlurmctldLogFile=$slurm_folder/log/slurmctld.log
SlurmdLogFile=$slurm_folder/log/slurmd.%n.log
ProctrackType=proctrack/${slurm_track:-pgid}
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
${slurm_more:-}
BatchStartTimeout=10
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SlurmctldTimeout=10
SlurmdTimeout=10
InactiveLimit=0
KillWait=10
MinJobAge=${slurm_age:-300}
MessageTimeout=10
JobRequeue=1
TreeWidth=65533
GresTypes=gpu
NodeName=h[1-$1] CPUs=6 RealMemory=2000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverTimeLimit=0 PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP OverTimeLimit=0 PriorityTier=2 PreemptMode=OFF
END
}

slurm_munge() ( # [HOST]: munged there, or here
  cd / || return # munged would, and may not from here
  ${1:+on "$1"} chown munge:munge /run/munge
  ${1:+on "$1"} setpriv --reuid munge --regid munge --clear-groups munged --key-file="$slurm_folder/munge.key" \
    --socket=/run/munge/munge.socket.2 --pid-file=/run/munge/pid --log-file=/run/munge/log \
    --seed-file=/run/munge/seed
)

# The daemons of one host; again after host_boot.
slurm_node() {
  mkdir -p "$slurm_folder/spool/$1"
  slurm_munge "$1"
  on "$1" slurmd -N "$1"
}

slurm_idle() { # N nodes are
  [ "$(sinfo -h -p main -t idle -o %D)" = "$1" ]
}

# slurm_state JOB: PENDING, RUNNING, COMPLETED, ...
slurm_state() {
  scontrol show job "$1" | awk 'match($0, /JobState=[A-Z_]+/) && !n++ { print substr($0, RSTART + 9, RLENGTH - 9) }'
}
slurm_node_is() { # HOST STATE: idle, down ...
  [[ $(sinfo -h -p main -n "$1" -o %T) = "$2"* ]]
}
slurm_is() { # JOB STATE
  [ "$(slurm_state "$1")" = "$2" ]
}
