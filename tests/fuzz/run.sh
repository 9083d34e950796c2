#!/usr/bin/env bash
# The fuzz targets of this folder, from the test suite or by hand:
#   run.sh build                 makes the tree build/fuzz (clang with libFuzzer, ASan and UBSan)
#   run.sh fuzz TARGET           SECONDS_EACH (20 unless set) of fuzzing; new inputs stay in build/fuzz/corpus,
#                                what breaks the target is copied to build/fuzz/found
#   run.sh replay TARGET PROGRAM a program of any other tree over the kept inputs
# Exit 77 where clang has no libFuzzer.
set -uo pipefail
cd "${SHOAL_SOURCE_DIR:-$(dirname "$0")/../..}" || exit 1
target=${2:-}
tree=build/fuzz
golden=tests/golden

# Kept inputs: seeds and findings, and files of other tests that are good seeds.
kept=(tests/fuzz/corpus/"$target")
case $target in
  record) kept+=("$golden"/records) ;;
  coco) kept+=("$golden"/coco_eval/instances.json) ;;
  results) kept+=("$golden"/coco_eval/results.json) ;;
  safetensors) kept+=("$golden"/safetensors) ;;
  config) kept+=(configs/*.yaml configs/base) ;;
  jpeg) kept+=("$golden"/jpeg) ;;
esac

# Whether clang links a fuzzer.
has_fuzzer() {
  local scratch
  command -v clang >/dev/null || return
  scratch=$(mktemp -d)
  echo 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n); int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p && !n; }' >"$scratch/x.c"
  clang -fsanitize=fuzzer,address "$scratch/x.c" -o "$scratch/x" 2>/dev/null
  local result=$?
  rm -r "$scratch"
  return $result
}

build() {
  has_fuzzer || { echo "skipped: no clang with libFuzzer (ci/install-deps.sh --clang)"; exit 77; }
  cmake --preset fuzz >/dev/null && cmake --build --preset fuzz --target fuzz -- -j2
}

# libFuzzer takes folders: what is a single file goes into one of its own.
fuzz() {
  [ -x $tree/fuzz_"$target" ] || { echo "skipped: $tree/fuzz_$target is not there (run.sh build)"; exit 77; }
  local own=$tree/corpus/$target seeds=$tree/seeds/$target file
  rm -rf "$seeds"
  mkdir -p "$own" "$seeds" $tree/found
  for file in "${kept[@]}"; do [ -e "$file" ] && cp -r "$file" "$seeds/"; done
  SHOAL_LOG=error ASAN_OPTIONS=allocator_may_return_null=1 \
    $tree/fuzz_"$target" -max_total_time="${SECONDS_EACH:-20}" -timeout=100 -rss_limit_mb=3000 \
    -max_len=8192 -print_final_stats=1 -artifact_prefix="$tree/found/$target-" "$own" "$seeds" \
    >"$tree/$target.log" 2>&1
  local result=$?
  tail -n "$((result == 0 ? 6 : 60))" "$tree/$target.log"
  return $result
}

case ${1:-} in
  build) build ;;
  fuzz) fuzz ;;
  replay)
    existing=()
    for file in "${kept[@]}"; do [ -e "$file" ] && existing+=("$file"); done
    SHOAL_LOG=error "$3" "${existing[@]}"
    ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
