#!/usr/bin/env bash
# The house rules that a grep can check. ci/style.sh [TREE]: prints FILE:LINE: what is wrong, exits 1
# where anything is. An exception stands in the lists below, with its reason.
set -uo pipefail
cd "${1:-$(dirname "$0")/..}" || exit 2

found=$(mktemp) stripped=$(mktemp -d)
trap 'rm -rf "$found" "$stripped"' EXIT

# Prints "src/a.c src/b.h ...", below the folders given.
sources() {
  find "$@" -type f \( -name '*.c' -o -name '*.h' -o -name '*.cc' -o -name '*.cu' \) 2>/dev/null | sort
}
mapfile -t all < <(sources src tests)
mapfile -t product < <(sources src)

# A copy of every file without the contents of strings and without comments, line by line.
for file in "${all[@]}"; do
  mkdir -p "$stripped/$(dirname "$file")"
  sed -E -e '/^ *#include/b' -e "s/'(\\\\.|[^'\\\\])'/' '/g" -e 's/"(\\.|[^"\\])*"/""/g' \
    -e 's://.*$::' -e 's:/\*.*\*/::g' "$file" >"$stripped/$file"
done

# Files grep's FILE:LINE:TEXT lines as FILE:LINE: $1.
because() {
  awk -F: -v text="$1" '{ print $1 ":" $2 ": " text }' >>"$found"
}

# refuse PATTERN ALLOWED TEXT FILE...: PATTERN (extended, whole words) may stand only in files whose
# path matches ALLOWED; "-" allows none.
refuse() {
  local pattern=$1 allowed=$2 text=$3
  shift 3
  [ $# -eq 0 ] && return
  (cd "$stripped" && grep -nHE "(^|[^A-Za-z0-9_.>])($pattern)" "$@") | grep -vE "^($allowed)" |
    because "$text"
}

# --- banned calls ---
refuse '(malloc|calloc|realloc|aligned_alloc|strdup|strndup|asprintf|vasprintf) *\(' \
  'src/core/mem\.c' 'memory comes from core/mem.h' "${product[@]}"
refuse '(exit|_exit|quick_exit|abort) *\(' 'src/core/status\.c|src/main\.c' \
  'only main and a broken promise end the process: return a status' "${product[@]}"
refuse '(assert *\(|#include <assert\.h>)' '-' 'ASSERT of core/status.h is on in every build' "${product[@]}"
refuse '(atoi|atol|atoll|atof|strcpy|strcat|sprintf|vsprintf|gets|strtok|rand|srand|random|alloca) *\(' \
  '-' 'banned: no error, no bound or no key' "${product[@]}"
refuse '(printf|puts|putchar|vprintf) *\(' 'src/train/|src/main\.c' \
  'stdout belongs to the subcommands; use core/log.h' "${product[@]}"
refuse 'reduction *\(' '-' 'sums are taken in a fixed order: no OpenMP reduction' "${product[@]}"
grep -nHE '\b(TODO|FIXME|XXX)\b' "${all[@]}" /dev/null | grep -vE 'TODO\(#[0-9]+\)' |
  because 'a plan belongs in an issue: TODO(#12)'

# --- foreign libraries stay in their rooms ---
while read -r pattern home; do
  refuse "$pattern" "$home" "a foreign library outside its room ($home)" "${product[@]}"
done <<'LIST'
(dnnl_[a-z]|DNNL_|#include.<.*dnnl) src/tensor/cpu/
(cudnn|CUDNN_) src/tensor/cuda/
(cu[A-Z][a-z]|cuda[A-Z_]|#include.<cu) (src/tensor/cuda/|src/comm/nccl)
(nccl[A-Z]|#include.<nccl) src/comm/(nccl|bucket_nccl)
(MPI_|#include.<mpi) src/comm/
(tj[A-Z3]|#include.<(jpeglib|turbojpeg|protobuf-c|isa-l|crc|cairo|simdjson|yyjson|json)) src/io/
(cairo_|crc32_iscsi|protobuf_c_) src/io/
(fy_|FY[A-Z]+_|#include.<libfyaml) src/core/config
(XXH[0-9_]|#include.<xxhash) src/(train|io|core)/
LIST

# --- includes point one way ---
rooms='core|tensor|io|comm|model|train'
while read -r room below; do
  (cd "$stripped" && grep -rnHE "#include \"($rooms)/" "src/$room" 2>/dev/null) |
    grep -vE "#include \"($below)/" | because "src/$room may include $below only"
done <<'LIST'
core core
tensor core|tensor
io core|io
comm core|comm
model core|tensor|model
LIST
(cd "$stripped" && grep -nHE '#include ".*_internal\.h"' "${all[@]}" /dev/null) |
  awk -F'[:"]' '{ home = $4; sub("/.*", "", home); from = $1; sub(/^(src|tests)\//, "", from)
                  if (index(from, home "/") != 1) print }' |
  because "an internal header of another room"

# --- names: what x.c exports begins with x, or with a type that its header declares ---
# The first word of a file's name is enough (config_yaml.c: config_...); op_ in tensor/ops, cpu_ in
# tensor/cpu; assert_failed stands beside the macros in status.h.
for file in "${product[@]}"; do
  [[ $file == *.c && $file != src/main.c ]] || continue
  stem=$(basename "$file" .c) header=${file%.c}.h
  room=${file#src/} room=${room%%/*}
  allowed="${stem%%_*}|${stem}|${stem}s|${stem%s}|${stem%y}ies|${room}_${stem}"
  case $file in
    src/tensor/ops/*) allowed+='|op' ;;
    src/tensor/cpu/*) allowed+='|cpu' ;;
    src/tensor/cuda/*) allowed+='|cuda' ;;
    src/core/status.c) allowed+='|assert' ;;
  esac
  [ -f "$header" ] && allowed+=$(sed -nE 's/^(struct|enum|typedef enum) ([a-z_0-9]+)( \{.*|;)/|\2/p' "$header" | tr -d '\n')
  awk -v file="$file" -v allowed="^($allowed)(_|\$)" '
    /^[A-Za-z_].*[({]/ && !/^(static|typedef|struct [a-z_0-9]+ \{|enum|_Static_assert|extern)/ && !/;$/ {
      head = $0; line = FNR; gsub(/__attribute__\(\([^)]*(\([^)]*\))?[^)]*\)\)/, "", head)
      if (head ~ /^[A-Z_]+\(/) head = ""                         # a macro that makes a function
      if (match(head, /[A-Za-z_0-9]+ *\(/)) name = substr(head, RSTART, RLENGTH)
      else if (match(head, /[A-Za-z_0-9]+(\[[^]]*\])* = \{/)) name = substr(head, RSTART, RLENGTH)
      else name = ""
      sub(/[ (=\[].*/, "", name)
      if (name != "" && head ~ / = \{/) { if (name !~ allowed) bad(); name = "" }
    }
    /^\{/ && name != "" { if (name !~ allowed) bad(); name = "" }
    /^\{/ { body = FNR }
    /Long because/ { body = 0 }
    /^\}/ && body && FNR - body > 80 { print file ":" body ": a function of " FNR - body - 1 " lines" }
    /^\}/ { body = 0; name = "" }
    function bad() { print file ":" line ": exports " name ", not a name of its file" }
  ' "$stripped/$file" >>"$found"
done

# --- files: length, guards ---
for file in "${all[@]}"; do
  lines=$(wc -l <"$file")
  if [[ $file == src/* && $lines -gt 500 ]] && ! grep -q 'Long because' "$file"; then
    echo "$file:$lines: a file of $lines lines: two things in one? (or say: Long because ...)" >>"$found"
  fi
  [[ $file == *.h ]] || continue
  guard=$(echo "SHOAL_${file#src/}" | tr 'a-z/.-' 'A-Z___')
  grep -qx "#ifndef $guard" "$file" && grep -qx "#define $guard" "$file" ||
    echo "$file:1: the guard should be $guard" >>"$found"
done

# --- every test is registered ---
for test in tests/*/test_*.c tests/*/test_*.sh; do
  [ -e "$test" ] || continue
  name=$(basename "$test") name=${name%.*}
  grep -qE "\($name( |\)|\$)" "$(dirname "$test")/CMakeLists.txt" 2>/dev/null ||
    echo "$test:1: is not registered in $(dirname "$test")/CMakeLists.txt" >>"$found"
done

sort -u "$found"
[ ! -s "$found" ]
