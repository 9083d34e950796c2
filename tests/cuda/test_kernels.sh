#!/usr/bin/env bash
# No kernel spills, and none keeps fewer threads of a processor busy than kernels.txt says; what else
# differs from that table is said, with the command that renews it ("test_kernels.sh renew"). With
# another version of nvcc only the spills count.
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
if [ "$(head -1 "$table")" != "# $version" ]; then
  echo "$n kernels, none spills; kernels.txt is of another nvcc ($(head -1 "$table"), here $version)"
  exit 0
fi
diff "$table" "$found" >/dev/null && echo "$n kernels as in the table" && exit

# A line is a name and three times registers, bytes, busy threads.
worse=$(awk '
  /^#/ { next }
  { name = ""; for (k = 1; k <= NF - 9; k++) name = name " " $k }
  NR == FNR { for (i = 0; i < 3; i++) busy[name, i] = $(NF - 3 * i); next }
  { for (i = 0; i < 3; i++) if ((name, i) in busy && $(NF - 3 * i) < busy[name, i]) { print; break } }
' "$table" "$found")
diff "$table" "$found"
echo "tests/cuda/kernels.txt (<) is not what was built (>). If that is meant, renew it:"
echo "NVCC=$NVCC KERNEL_USAGE=$KERNEL_USAGE USAGE_FOLDER=$USAGE_FOLDER SHOAL_SOURCE_DIR=$SHOAL_SOURCE_DIR $0 renew"
[ -n "$worse" ] || exit 0
echo "Fewer threads busy than in the table:"
echo "$worse"
exit 1
