#!/usr/bin/env bash
# What ranks that do not fit together say at the start, in one line that names rank, host and cure.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
make_small_set
train=(train "$work/small.yaml" optimizer.name=sgd eval.every_epochs=0 train.max_steps=1
  "data.train=$work/data/train" "data.val=$work/data/val")
host=$(hostname)

# two FIRST... : -n 1 SECOND...: a job of two ranks with a command each.
two() {
  # shellcheck disable=SC2317 # called by name
  "$mpirun" 1 "$@"
}

# ---- Different programs: the same file but for its build id
cp "$shoal" other && chmod u+w other
offset=$((16#$(readelf -SW other | sed -nE 's/.*\.note\.gnu\.build-id +NOTE +[0-9a-f]+ ([0-9a-f]+) .*/\1/p')))
printf '\xab\xcd' | dd of=other bs=1 seek=$((offset + 16)) conv=notrunc status=none
"$shoal" --version >version.shoal
./other --version >version.other
grep -Eq '^shoal [0-9.]+, build [0-9a-f]{12}$' version.shoal || fail "version is $(cat version.shoal)"
grep -q 'build abcd' version.other || fail "the other version is $(cat version.other)"
expect 2 "different programs" two "$shoal" "${train[@]}" : -n 1 ./other "${train[@]}"
has "the program (shoal --version) on rank 1 ($host) differs from rank 0's ($host); on 1 of 2 ranks in all"
has_errors 1
[ ! -e out ] || fail "different programs: left out"

# ---- Different configs
expect 2 "different configs" two "$shoal" "${train[@]}" : -n 1 "$shoal" "${train[@]}" optimizer.lr=0.5
has "on rank 1 ($host): the config differs from rank 0's: optimizer.lr is 0.5, rank 0 has 0.001"
has_not "and more keys"
has_errors 1
expect 2 "configs that differ twice" two "$shoal" "${train[@]}" : -n 1 "$shoal" "${train[@]}" train.batch=4 "input.mean=[0, 0, 0]"
has "on rank 1 ($host): the config differs from rank 0's: input.mean is [0, 0, 0], rank 0 has [0.485, 0.456, 0.406], and more keys"
has_errors 1

# ---- Folders that are not shared: each rank has one of its own
mkdir here there
expect 0 "an out_dir that is not shared" two -wdir "$work/here" "$shoal" "${train[@]}" : \
  -n 1 -wdir "$work/there" "$shoal" "${train[@]}"
has "warning: train.out_dir out is on rank 0's host $host alone: rank 1 ($host) does not see it"
[ -e here/out/done.json ] || fail "no out_dir here: $(ls here)"
[ ! -e there/out ] || fail "an out_dir there: $(ls there)"
[ -z "$(find here/out -name '.seen*')" ] || fail "left $(find here/out -name '.seen*')"
expect 0 "a shared out_dir" "$mpirun" 2 "$shoal" "${train[@]}"
has_not "does not see it"
has_not "device memory" # a CPU's is not counted

cp -r data here/data && rm -r there && cp -r here there && rm -rf there/out here/out
rm there/data/train.record-00001-of-00002
expect 1 "a shard is missing on a host" two -wdir "$work/here" "$shoal" "${train[@]}" data.train=data/train : \
  -n 1 -wdir "$work/there" "$shoal" "${train[@]}" data.train=data/train
has "on rank 1 ($host): "
has "data/train.record-00001-of-00002"
has_errors 1

# ---- srun without PMI: as many runs as processes
expect 2 "srun without PMI" env SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 "$shoal" "${train[@]}"
has "srun started 4 processes that do not know of each other"
has "use srun --mpi=pmix"
has_errors 1
expect 2 "srun without PMI, process 3" env SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=3 "$shoal" "${train[@]}"
has_errors 0
expect 0 "mpirun in a SLURM job" env SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 "$mpirun" 1 "$shoal" "${train[@]}" \
  train.out_dir=slurm
expect 0 "a batch script" env SLURM_JOB_ID=1 SLURM_NTASKS=4 SLURM_PROCID=0 "$shoal" "${train[@]}" train.out_dir=batch
finish
