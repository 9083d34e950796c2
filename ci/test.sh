#!/usr/bin/env bash
# Installs what is missing, checks, builds, and runs the whole test suite; ends with ctest's own
# summary. ci/test.sh [release|debug|asan|tsan]: one of CMakePresets.json, release unless given.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
case $preset in
  release) ./ci/install-deps.sh --clang --cluster ;; # clang: for the fuzz targets
  debug) ./ci/install-deps.sh --cluster ;;
  asan) ./ci/install-deps.sh ;;
  tsan) ./ci/install-deps.sh --clang ;;
  *) echo "usage: ci/test.sh [release|debug|asan|tsan]" >&2; exit 2 ;;
esac
./ci/check.sh

cmake --preset "$preset"
cmake --build --preset "$preset"

log=build/$preset/test.log
result=0
ctest --preset "$preset" --no-tests=error -j "$(nproc)" 2>&1 | tee "$log" || result=$?

# "12/40 Test #7: test_name ....   Passed   3.21 sec"
echo
echo "The slowest ten tests, in seconds:"
sed -nE 's|^ *[0-9]+/[0-9]+ Test +#[0-9]+: ([^ ]+) .* ([0-9.]+) sec *$|\2 \1|p' "$log" |
  sort -rn | awk 'NR <= 10 { printf "%10.2f  %s\n", $1, $2 }'
echo
sed -n '/tests passed, .* out of /,$p' "$log"
exit "$result"
