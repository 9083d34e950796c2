#!/usr/bin/env bash
# On a machine without a driver the program starts, says what is missing, and refuses
# train.device=cuda in one line. No symbol of libcuda is among those it wants of others.
set -uo pipefail
failed=0
fail() {
  echo "$1"
  failed=1
}

wanted=$(nm -D --undefined-only "$SHOAL_BINARY" | grep -E ' (cu[A-Z]|cuda|cudnn|nccl)')
[ -z "$wanted" ] || fail "undefined symbols of CUDA libraries: $wanted"
needed=$(objdump -p "$SHOAL_BINARY" | grep NEEDED | grep -E 'libcu|libnccl')
[ -z "$needed" ] || fail "libraries needed at start: $needed"
for arch in sm_80 sm_90 sm_100; do
  grep -aq "$arch" "$SHOAL_BINARY" || fail "no code for $arch in the program"
done

devices=$("$SHOAL_BINARY" devices 2>&1) || fail "shoal devices: exit $?: $devices"
echo "$devices"
grep -q '^cpu ' <<<"$devices" || fail "shoal devices names no processor"
if ! grep -q '^gpu .*none' <<<"$devices"; then
  echo "this machine has a GPU: the rest is for one that has none"
  exit $failed
fi
grep -qE '^CUDA +[0-9]+\.[0-9]+ built in; driver for CUDA: ' <<<"$devices" || fail "no CUDA version"
grep -qE '^cuDNN +(9\.[0-9]+\.[0-9]+|missing: )' <<<"$devices" || fail "nothing about cuDNN"
grep -qE '^NCCL +(2\.[0-9]+\.[0-9]+|missing: libnccl.so.2 cannot be opened: .*install it)' <<<"$devices" ||
  fail "nothing about NCCL"
exit $failed
