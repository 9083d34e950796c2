#!/usr/bin/env bash
# ci/style.sh finds what it should, once each, in a tree of planted faults, and nothing in a clean one.
set -uo pipefail
root=${SHOAL_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failures=0

# plant FILE LINE...: writes a file of the tree.
plant() {
  local file=$tree/$1
  shift
  mkdir -p "$(dirname "$file")"
  printf '%s\n' "$@" >"$file"
}

# expect FILE:LINE TEXT: planted faults are reported there in these words.
expect() {
  grep -qF "$1: $2" <<<"$report" && return
  echo "not found: $1: $2"
  failures=$((failures + 1))
}

plant src/core/good.h '#ifndef SHOAL_CORE_GOOD_H' '#define SHOAL_CORE_GOOD_H' \
  'struct other {' '    int x;' '};' 'int good_one(void);' '#endif'
plant src/core/good.c '#include "core/good.h"' '' '// malloc(1), exit(2) and "dnnl_x" in words are fine' \
  'static const char *const text = "printf(%d) MPI_Send(";' '' 'static int helper(int a)' '{' '    return a;' '}' '' \
  'int good_one(void)' '{' '    return helper(0);' '}' '' 'int other_count(const struct other *o)' '{' '    return o->x;' '}'
plant src/train/good.c '#include "core/good.h"' '#include <xxhash.h>' '' 'void good_print(void)' '{' '    printf("x");' '}'
plant tests/core/CMakeLists.txt 'shoal_test(test_good ROOMS core LABELS unit)'
plant tests/core/test_good.c '#include "core/good.h"'
report=$("$root/ci/style.sh" "$tree") || { echo "a clean tree is refused:"; echo "$report"; failures=1; }

plant src/core/calls.c '// calls' 'void calls_make(void)' '{' '    p = malloc(3);' '    exit(1);' \
  '    assert(p);' '    n = atoi(s);' '    printf("x");' '    abort();' '}'
plant src/model/plan.c '// TODO: later' '// TODO(#3): later' '#pragma omp parallel for reduction(+ : sum)' '#include "io/x.h"' \
  '#include "tensor/tensor.h"' '#include "tensor/cpu/cpu_internal.h"'
plant src/io/foreign.c '#include <mpi.h>' '#include "tensor/tensor.h"' 'static int x = MPI_COMM_WORLD;' \
  'dnnl_status_t s;' 'fy_node_x();' 'cudaMalloc(p);' 'ncclGroupStart();'
plant src/train/image.c '#include <jpeglib.h>' 'cairo_t *c;' 'cairo_fill(c);'
plant src/core/names.c 'int names_ok(void)' '{' '    return 0;' '}' '' 'MUST_USE status wrong_name(int a,' \
  '                           int b)' '{' '    return OK;' '}' '' 'const struct table wrong_table = {' '    1,' '};' 'static int mine = 3;'
plant src/core/long.c "$(printf 'int x;\n%.0s' {1..501})"
plant src/core/excused.c '// Long because it is a table.' "$(printf 'int x;\n%.0s' {1..501})"
plant src/core/body.c 'void body_do(void)' '{' "$(printf '    x();\n%.0s' {1..81})" '}'
plant src/core/guard.h '#ifndef GUARD_H' '#define GUARD_H' '#endif'
plant tests/core/test_lost.c 'int main;'
plant tests/core/test_lost.sh 'true'
report=$("$root/ci/style.sh" "$tree") && { echo "a bad tree passes"; failures=1; }

expect src/core/calls.c:4 'memory comes from core/mem.h'
expect src/core/calls.c:5 'only main and a broken promise end the process'
expect src/core/calls.c:9 'only main and a broken promise end the process'
expect src/core/calls.c:6 'ASSERT of core/status.h'
expect src/core/calls.c:7 'banned'
expect src/core/calls.c:8 'stdout belongs to the subcommands'
expect src/model/plan.c:1 'a plan belongs in an issue'
expect src/model/plan.c:3 'sums are taken in a fixed order'
expect src/model/plan.c:4 'src/model may include core|tensor|model only'
expect src/model/plan.c:6 'an internal header of another room'
for line in 1 3 4 5 6 7; do expect "src/io/foreign.c:$line" 'a foreign library outside its room'; done
expect src/io/foreign.c:2 'src/io may include core|io only'
for line in 1 2 3; do expect "src/train/image.c:$line" 'a foreign library outside its room'; done
expect src/core/names.c:6 'exports wrong_name, not a name of its file'
expect src/core/names.c:12 'exports wrong_table, not a name of its file'
expect src/core/long.c:501 'a file of 501 lines'
expect src/core/body.c:2 'a function of 81 lines'
expect src/core/guard.h:1 'the guard should be SHOAL_CORE_GUARD_H'
expect tests/core/test_lost.c:1 'is not registered in tests/core/CMakeLists.txt'
expect tests/core/test_lost.sh:1 'is not registered in tests/core/CMakeLists.txt'

wanted=27
got=$(grep -c . <<<"$report")
if [ "$got" -ne "$wanted" ]; then
  echo "want $wanted reports, got $got:"
  echo "$report"
  failures=$((failures + 1))
fi
[ "$failures" -eq 0 ] && echo "style.sh finds all $wanted planted faults"
exit $((failures > 0))
