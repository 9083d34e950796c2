#!/usr/bin/env bash
# Format, house rules, shell scripts: seconds. With --tidy clang-tidy too: minutes, and needs a build
# (build/release/compile_commands.json). Tools that are not installed are left out, saying so:
# ci/install-deps.sh --checks installs them.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
failed=0

# step NAME COMMAND...: runs COMMAND; its failure is ours.
step() {
  local name=$1
  shift
  if "$@"; then
    echo "check: $name: ok"
  else
    echo "check: $name: FAILED"
    failed=1
  fi
}

# have TOOL: whether it is there; says what is left out where not.
have() {
  command -v "$1" >/dev/null && return
  echo "check: $1 is not installed, left out (ci/install-deps.sh --checks)"
  return 1
}

mapfile -t sources < <(find src tests -name '*.[ch]' -o -name '*.cc' -o -name '*.cu' | sort)
mapfile -t products < <(find src -name '*.c' | sort)
mapfile -t scripts < <(find ci .ci launch tests -type f \( -name '*.sh' -o -name '*.sbatch' -o -path '*/hooks/*' -o -path .ci/run \) 2>/dev/null | sort)

# shellcheck disable=SC2317 # these are called by step
conflicts() {
  ! git grep -nIE '^(<{7}|>{7}) '
}
# shellcheck disable=SC2317
white_space() {
  ! grep -nIE '[[:space:]]+$' "${sources[@]}" "${scripts[@]}" configs/*.yaml configs/*/*.yaml
}
# Under pipefail a reader that stops early fails the pipe, now and then: its writer dies of SIGPIPE.
# shellcheck disable=SC2317
early_readers() {
  ! grep -nE '[^|]\| *(head|grep -[[:alpha:]]*q)\b' "${scripts[@]}"
}
# shellcheck disable=SC2317
tidy() {
  printf '%s\n' "${products[@]}" |
    xargs -P "$(nproc)" -n 4 clang-tidy-14 -p build/release --quiet --warnings-as-errors='*' 2>/dev/null
}

if have clang-format-14; then step format clang-format-14 --dry-run --Werror "${sources[@]}"; fi
step conflicts conflicts
step "white space" white_space
step "no reader stops early" early_readers
step style ci/style.sh
if have shellcheck; then step shellcheck shellcheck -x "${scripts[@]}"; fi
if [ "${1:-}" = --tidy ] && have clang-tidy-14; then step tidy tidy; fi
exit "$failed"
