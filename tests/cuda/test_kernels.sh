#!/usr/bin/env bash
# No kernel spills, and all take what kernels.txt says. With another nvcc than the table's, registers and
# shared memory may differ; spills and the threads that a kernel keeps busy are judged still.
# "test_kernels.sh renew" writes the table (the build's target kernel_table).
set -uo pipefail
table=${SHOAL_SOURCE_DIR:?}/tests/cuda/kernels.txt
found=$(mktemp)
trap 'rm -f "$found"' EXIT
version=$("${NVCC:?}" --version | sed -nE 's/.*release ([0-9.]+), (V[0-9.]+).*/nvcc \2/p')
usages=()
for source in "$SHOAL_SOURCE_DIR"/src/tensor/cuda/*.cu; do
  usage=${USAGE_FOLDER:?}/$(basename "$source").o.usage
  if [ ! -s "$usage" ]; then
    echo "$usage is not there: build the program first"
    exit 1
  fi
  usages+=("$usage")
done
"${KERNEL_USAGE:?}" "$version" "${usages[@]}" >"$found" || exit 1
if [ "${1:-}" = renew ]; then
  cp "$found" "$table"
  exit
fi
n=$(grep -vc '^#' "$found")
renew="if that is meant, renew it: cmake --build ${USAGE_FOLDER%/src/tensor} --target kernel_table"
if diff "$table" "$found"; then
  echo "$n kernels as in the table"
  exit
fi
tables=$(sed -n '1s/^# //p' "$table")
if [ "$tables" = "$version" ]; then
  echo "tests/cuda/kernels.txt (<) is not what was built (>); $renew"
  exit 1
fi

# A line is a name and three times registers, bytes, busy threads.
worse=$(awk '
  /^#/ { next }
  { name = ""; for (k = 1; k <= NF - 9; k++) name = name " " $k }
  NR == FNR { for (i = 0; i < 3; i++) busy[name, i] = $(NF - 3 * i); next }
  { for (i = 0; i < 3; i++) if ((name, i) in busy && $(NF - 3 * i) < busy[name, i]) { print; break } }
' "$table" "$found")
echo "kernels.txt is of $tables, here is $version: only spills (none of $n kernels) and busy threads count"
[ -n "$worse" ] || exit 0
echo "$worse"
echo "These keep fewer threads busy than in tests/cuda/kernels.txt; $renew"
exit 1
