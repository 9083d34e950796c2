#!/usr/bin/env bash
# A test of the tests: every wait that orders the pictures' own stream against the other and the host is
# left out in its turn, and ThreadSanitizer reports a race. With all of them there is none
# (test_races_tsan).
set -uo pipefail
program=$(dirname "$SHOAL_BINARY")/test_races_tsan
failed=0

# expect VARIABLE N
expect() {
  local output code
  output=$(env "$1=$2" TSAN_OPTIONS=halt_on_error=1 timeout 200 "$program" pictures 2>&1)
  code=$?
  if [ $code -eq 0 ] || ! grep 'data race' <<<"$output" >/dev/null; then
    echo "$1=$2: exit $code, no race found"
    failed=1
  fi
}

# Six turns of four rooms: the stream waits for the copy in each, and from the fifth on the copy waits
# for who reads the room's memory, and the host for the copy out of it.
for n in 1 4 5 6 7 8; do expect FAKE_CUDA_DROP_WAIT $n; done
for n in 1 2; do expect FAKE_CUDA_DROP_HOST_WAIT $n; done
exit $failed
