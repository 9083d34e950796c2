#!/usr/bin/env bash
# A test of the tests: every wait that orders the sums' queue against the other is left out in its turn,
# and ThreadSanitizer reports a race. With all of them there is none (test_nccl_tsan).
set -uo pipefail
program=$(dirname "$SHOAL_BINARY")/test_nccl_tsan
failed=0
# Of the first step: each of two devices waits before each of three sums and once after them.
for n in 1 2 3 4 5 6 7 8; do
  output=$(FAKE_CUDA_DROP_WAIT=$n TSAN_OPTIONS=halt_on_error=1 timeout 200 "$program" sums_are_whole 2>&1)
  code=$?
  if [ $code -eq 0 ] || ! grep -q 'data race' <<<"$output"; then
    echo "wait $n left out: exit $code, no race found"
    failed=1
  fi
done
exit $failed
