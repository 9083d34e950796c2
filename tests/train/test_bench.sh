#!/usr/bin/env bash
# shoal bench: one JSON object each, with what the scripts in bench/ read. No figure is judged.
. "${SHOAL_SOURCE_DIR:?}/tests/train/small_run.sh"
make_small_set

keys() { # FIELD...: the last command printed one object that has them all
  [ "$(head -n 1 log)$(tail -n 1 log)" = "{}" ] || fail "no single object: $(head -n 3 log)"
  local key
  for key in bench version peak_rss_mib "$@"; do
    grep -qF "\"$key\": " log || fail "no $key in $(head -n 2 log)"
  done
}

step=("$shoal" bench step small.yaml --images 2 --height 64 --width 64 --steps 2 --warmup 1)
expect 0 "bench step" "${step[@]}"
keys step images_per_s cpu_s_per_image precision comm_exposed_s pool_peak_mib
has '"mode": "train"'
expect 0 "bench step, inference" "${step[@]}" --infer model.norm=frozen_bn
keys step images_per_s
has '"mode": "infer"'
has '"norm": "frozen_bn"'
expect 0 "bench step, two ranks" "$mpirun" 2 "${step[@]}"
keys step
has '"ranks": 2'
expect 2 "bench step, an odd size" "${step[@]}" --width 65
has "want multiples of 32"
expect 2 "bench step, no precision" "${step[@]}" --precision fp8
has "want fp32 or bf16"

expect 0 "bench loader" "$shoal" bench loader --data data/train small.yaml --rounds 2
keys loader bare images_per_s cpu_over_bare
has '"images": 12,'

expect 0 "bench score" "$shoal" bench score --images 20 --detections 100 --rounds 2 --keep kept
keys score read_annotations read_results metrics ap
made_up=$(grep '"ap"' log)
expect 0 "bench score of files" "$shoal" bench score --annotations kept/annotations.json --results kept/results.json
[ "$(grep '"ap"' log)" = "$made_up" ] || fail "the same files, another AP: $made_up, $(grep '"ap"' log)"
expect 2 "bench score of one file" "$shoal" bench score --results kept/results.json

expect 0 "bench allreduce" "$mpirun" 2 "$shoal" bench allreduce --mib 4 --rounds 2
keys buckets plain buckets_over_plain
has '"n_buckets": 4'
expect 0 "bench allreduce, two devices" "$shoal" bench allreduce --mib 0.01 --rounds 1 train.devices_per_rank=2
has '"devices_per_rank": 2'
expect 0 "bench step, two devices" "${step[@]}" train.devices_per_rank=2
expect 2 "no such benchmark" "$shoal" bench nothing
finish
