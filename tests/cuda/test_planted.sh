#!/usr/bin/env bash
# A test of the tests: planted.cu has one bug at a time, and each is found by who should find it.
set -uo pipefail
here=$(dirname "$SHOAL_BINARY")
failed=0

# expect VARIANT BUG ORDER TEXT: the program fails and says TEXT; with bug 0 it ends well.
expect() {
  local variant=$1 bug=$2 order=$3 text=$4 output code
  output=$(PLANTED=$bug SHIM_ORDER=$order "$here/planted_$variant" 2>&1)
  code=$?
  if [ "$bug" -eq 0 ]; then
    [ $code -eq 0 ] && return
  elif [ $code -ne 0 ] && grep -qE "$text" <<<"$output"; then
    return
  fi
  echo "planted_$variant, bug $bug, order $order: exit $code, wanted: $text"
  sed -n 1,20p <<<"$output"
  failed=1
}

for order in 0 1 2 3; do
  expect asan 0 $order ''
  expect tsan 0 $order ''
  expect tsan 1 $order 'data race.*|WRONG'
  expect plain 3 $order 'a warp exchange whose other lanes never come'
  expect tsan 4 $order 'data race'
  expect tsan 5 $order 'data race'
done
expect plain 1 0 'WRONG'
expect asan 2 2 'heap-buffer-overflow'
exit $failed
