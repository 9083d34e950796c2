#!/usr/bin/env bash
# launch/scaling.sh over virtual hosts: a table with every run and a picture, and what is measured already
# is not measured again.
. "${SHOAL_SOURCE_DIR:?}/tests/cluster/cluster_test.sh"
command -v gnuplot >/dev/null || { echo "skipped: gnuplot is not installed"; exit 77; }
make_small_set
hosts_up 4 || { fail "hosts_up"; finish; }
scale=("$SHOAL_SOURCE_DIR/launch/scaling.sh" --mode both --ranks '1,2,4' --hosts 'h1,h2,h3,h4' --bind none --rsh "$remote_shell"
  --images 1 --steps 3 --warmup 1 --out scaling small.yaml train.batch=4 train.threads=1)
expect 0 "weak and strong" "${scale[@]}" --repeats 1
[ "$(wc -l <scaling/scaling.csv)" = 7 ] || fail "lines: $(cat scaling/scaling.csv)"
[ "$(head -n 1 scaling/scaling.csv)" = mode,ranks,repeat,batch,steps,images_per_s,step_s,compute_s,data_wait_s,comm_exposed_s,rest_s,efficiency ] ||
  fail "columns: $(head -n 1 scaling/scaling.csv)"
[ "$(cut -d, -f1,2,4 scaling/scaling.csv | tail -n +2 | sort -u | tr '\n' ' ')" = \
  "strong,1,4 strong,2,4 strong,4,4 weak,1,1 weak,2,2 weak,4,4 " ] || fail "batches: $(cat scaling/scaling.csv)"
# The parts are the whole, images by time is the rate, and one rank's efficiency is 1.
awk -F, 'NR > 1 { whole = $8 + $9 + $10 + $11; if (whole < 0.99 * $7 || whole > 1.01 * $7) { print; bad = 1 }
    if ($6 * $7 < 0.99 * $4 || $6 * $7 > 1.01 * $4) { print; bad = 1 }
    if ($2 == 1) { e[$1] += $12 } }
  END { for (m in e) if (e[m] < 0.999 || e[m] > 1.001) { print m, e[m]; bad = 1 } exit bad }' scaling/scaling.csv >differ ||
  fail "sums: $(cat differ)"
[ "$(od -An -c -N4 scaling/scaling.png | tr -d ' ')" = '211PNG' ] || fail "no picture: $(ls -l scaling)"
[ -z "${SHOAL_KEEP_PICTURE:-}" ] || cp scaling/scaling.png "$SHOAL_KEEP_PICTURE"

# What was measured stands beside what is predicted from the run on one rank.
cp scaling/scaling.csv first.csv
expect 0 "plan" "$shoal" plan --metrics scaling/weak-1-1/metrics.jsonl --mib 43 --gbits 10 --scaling first.csv
awk -F, '$1 == "weak" { print $2, 100 * $12 }' first.csv >wanted
awk '$1 ~ /^[124]$/ { print $1, $(NF - 1) }' log >got # in percent, a digit behind the point
paste -d' ' wanted got | awk '{ d = $2 - $4; n++; if ($1 != $3 || d * d > 0.01) bad = 1 } END { exit bad || n != 3 }' ||
  fail "plan and table: $(cat wanted log)"
has "measured"

# Once more with a second repeat on one rank: the others are not measured again.
touch before
expect 0 "again" "${scale[@]}" --repeats 2 --mode weak --ranks 1
[ "$(find scaling -name metrics.jsonl -newer before)" = scaling/weak-1-2/metrics.jsonl ] ||
  fail "measured again: $(find scaling -name metrics.jsonl -newer before)"
[ "$(cut -d, -f1-3 scaling/scaling.csv | tr '\n' ' ')" = "mode,ranks,repeat weak,1,1 weak,1,2 " ] ||
  fail "again: $(cat scaling/scaling.csv)"
awk -F, 'NR > 1 { e += $12 } END { exit e < 1.999 || e > 2.001 }' scaling/scaling.csv || fail "efficiency: $(cat scaling/scaling.csv)"
expect 2 "a batch that does not divide" "${scale[@]}" --ranks 3 --mode strong --out other
has "train.batch 4 does not divide among 3 ranks"
none_left scaling
finish
