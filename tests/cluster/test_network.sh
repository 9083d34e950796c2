#!/usr/bin/env bash
# Training over links that are slow: one that becomes so in the middle of a run changes no bit of it, and
# what a link takes is hidden behind the backward walk.
. "${SHOAL_SOURCE_DIR:?}/tests/cluster/cluster_test.sh"
# shellcheck source=tests/cluster/launch_test.sh
. "$SHOAL_SOURCE_DIR/tests/cluster/launch_test.sh"

hosts_up 2 || { fail "hosts_up"; finish; }

# ---- 10 Mbit/s and 20 ms each way, from the first checkpoint on: slower, and nothing else
few=(model.trainable_stages=0 train.max_steps=10) # 0.6 MiB of gradients
expect 0 "a good link" launch good h1:1,h2:1 "${few[@]}"
begin slow h1:1,h2:1 "${few[@]}"
host_rate h2 10mbit
host_delay h2 20
ended 0 slow
host_delay h2 0
host_rate h2 ""
has_not "going on"
has_not "not heard"
same_weights good slow
[ "$(lines slow)" = 10 ] || fail "slow: $(lines slow) steps"
exposed_ms() { # FOLDER: of the last three steps together
  tail -n 3 "$1/out/metrics.jsonl" | sed -E 's/.*"comm_exposed_s": ([^,}]*).*/\1/' | awk '{ s += $1 } END { print int(1000 * s) }'
}
[ "$(exposed_ms slow)" -gt $(($(exposed_ms good) + 500)) ] ||
  fail "the link was not slow: $(exposed_ms good) ms exposed before, $(exposed_ms slow) with it"

# ---- A link that takes as long as the backward walk: less than a quarter of that prolongs the step
rm -rf synth data
expect 0 "larger pictures" "$shoal" pack synth --out synth --images 12 --val 5 --size 512 --seed 3
for part in train val; do
  expect 0 "pack $part" "$shoal" pack coco --out "data/$part" --shards 1 --images "synth/$part" \
    --annotations "synth/annotations/instances_$part.json"
done
large=(input.min_size=512 input.max_size=512 train.batch=2 train.max_steps=4 checkpoint.every_steps=0)

# Milliseconds of a step, medians over all but the first: the backward walk, all that is summed, and what
# of it the step waits for; from rank zero's trace.
walk_sum_exposed() { # FOLDER
  sed -nE 's/.*"name": "(backward|all-reduce|all-reduce exposed)", "cat": "(phase|work)".*"ts": ([0-9.]+), "dur": ([0-9.]+).*/\3 \4 \1/p' \
    "$1/out/trace.json" | sort -n | awk '
    function median(v, n,   i, j, t) {
      for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (v[j] < v[i]) { t = v[i]; v[i] = v[j]; v[j] = t }
      return v[int((n + 1) / 2)] / 1000 }
    /backward$/ { step++; walk[step - 1] = $2 }
    /all-reduce$/ { sum[step - 1] += $2 }
    /exposed$/ { exposed[step - 1] = $2 }
    END { n = step - 1; printf "%d %d %d\n", median(walk, n), median(sum, n), median(exposed, n) }'
}
measure() { # FOLDER: sets walk, sum, exposed
  SHOAL_PROFILE=1 expect 0 "$1" launch "$1" h1:1,h2:1 "${large[@]}"
  read -r walk sum exposed < <(walk_sum_exposed "$1")
  echo "$1: backward $walk ms, summing $sum ms, of them exposed $exposed ms"
}
measure free
bits=$((32 * $(sed -nE 's/.*: ([0-9]+) trainable weights.*/\1/p' log)))
# The walk is slower with the sums beside it: the rate follows.
for try in 1 2 3; do
  rate=$((bits * 21 / 20 / walk)) # a twentieth is headers
  host_rate h2 ${rate}kbit
  measure "rate$try"
  if [ $((10 * sum)) -ge $((8 * walk)) ] && [ $((10 * sum)) -le $((11 * walk)) ]; then break; fi
done
[ $((10 * sum)) -ge $((8 * walk)) ] || fail "at $rate kbit/s summing takes $sum ms, the walk $walk ms: not as long"
[ $((4 * exposed)) -lt "$sum" ] || fail "$exposed of $sum ms are exposed, want less than a quarter"
finish
