#!/usr/bin/env bash
# The n-th allocation fails, for n = 1, 2, ... at growing distances until the command comes through:
# one line, exit 1, nothing left behind (and under a sanitizer no leak). See support/bad_input.sh.
set -uo pipefail
# shellcheck source=tests/support/bad_input.sh
. "${SHOAL_SOURCE_DIR:?}/tests/support/bad_input.sh"

# faults SLOWNESS COMMAND...: n grows by one SLOWNESS-th of itself.
faults() {
  local slowness=$1 n=1
  shift
  while :; do
    survives env SHOAL_MEM_FAIL_AT=$n "$@"
    if [ "$code" -eq 0 ]; then break; fi
    if [ "$code" -ne 1 ] || ! grep -qa 'out of memory' ../err; then complain "allocation $n"; fi
    n=$((n + 1 + n / slowness))
  done
  rm -rf out out.json
}

make_set
echo '[{"image_id":1,"category_id":1,"bbox":[1,2,10,12],"score":0.5}]' >results.json
faults 4 "$shoal" pack coco --annotations synth/annotations/instances_train.json \
  --images synth/train --out out/x --shards 2 --jobs 2
faults 4 "$shoal" verify set/train --jobs 2
faults 4 "$shoal" score --annotations synth/annotations/instances_train.json \
  --results results.json --json out.json
report
