#!/usr/bin/env bash
# ci/gpu.sh without a GPU: it says so; a dry run shows every stage; what fails is in the report and the
# exit code, and costs the other stages nothing.
set -uo pipefail
tree=${SHOAL_SOURCE_DIR:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() {
  echo "FAIL: $*"
  failed=1
}
# expect CODE COMMAND...
expect() {
  local want=$1 got
  shift
  "$@" >"$work/log" 2>&1
  got=$?
  [ $got -eq "$want" ] || fail "$*: exit $got, want $want: $(tail -n 3 "$work/log")"
}

if ! "$SHOAL_BINARY" devices 2>/dev/null | grep '^gpu [0-9]' >/dev/null; then
  expect 77 env SHOAL_BINARY="$SHOAL_BINARY" "$tree/ci/gpu.sh" --report "$work/none/report.md"
  grep -q 'no GPU found on this machine' "$work/log" || fail "no word of the missing GPU"
  [ ! -e "$work/none" ] || fail "a report of nothing"
fi
expect 2 "$tree/ci/gpu.sh" --only nonsense
expect 2 "$tree/ci/gpu.sh" --nonsense
expect 0 "$tree/ci/gpu.sh" --help

report=$work/dry/report.md
expect 0 "$tree/ci/gpu.sh" --dry-run --report "$report"
for stage in build slots goldens ranks memcheck racecheck initcheck demo allreduce torchvision; do
  grep -q "^| $stage | not run |" "$report" || fail "no $stage in the report of a dry run"
  grep -q '^+ ' "$work/dry/$stage.log" || fail "no command in $stage.log"
done
grep -q 'precision=bf16' "$work/dry/demo.log" || fail "no demo in bf16"

# A program that knows one GPU: its step fails, its all-reduce does not.
mkdir "$work/bin"
cat >"$work/bin/shoal" <<'END'
#!/bin/sh
case "$1 $2" in
  "devices ") echo "gpu 0    Imaginary, sm_90, 80.0 GiB" ;;
  "bench allreduce") echo "all-reduce: well" ;;
  *) echo "no such device" >&2; exit 3 ;;
esac
END
# shellcheck disable=SC2016
printf '#!/bin/sh\nexec "$SHOAL_BINARY" bench step\n' >"$work/bin/compute-sanitizer"
# shellcheck disable=SC2016
printf '#!/bin/sh\nwhile [ "$1" != "$SHOAL_BINARY" ]; do shift; done\nexec "$@"\n' >"$work/bin/mpirun"
chmod +x "$work/bin/"*
report=$work/imaginary/report.md
expect 1 env PATH="$work/bin:$PATH" SHOAL_BINARY="$work/bin/shoal" "$tree/ci/gpu.sh" --report "$report" \
  --only memcheck,allreduce
grep -q '^| memcheck | FAILED (exit 3) |' "$report" || fail "the failed stage: $(grep memcheck "$report")"
grep -q '^| allreduce | ok |' "$report" || fail "the stage after it: $(grep allreduce "$report")"
grep -q 'Imaginary' "$report" || fail "no name of the GPU"
grep -q 'no such device' "$report" || fail "no reason of the failure"
exit $failed
