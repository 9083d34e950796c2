# shellcheck shell=bash disable=SC2016
# Sourced by test_docs.sh: the commands that a page of documentation shows.

# Programs; where text mentions one with its arguments, that is a command too.
page_programs='sbatch|srun|scancel|scontrol|squeue|sinfo|mpirun|ssh|ip|ls|launch/[a-z.]+|build/[a-z/]+|shoal [a-z]+|cmake|ctest'

# page_commands PAGE FOLDER: FOLDER/block01 and so on, a file for each block of commands (```sh) in order, and in
# FOLDER/not_run the lines of those that begin with "# Not run by a test: REASON". Fails, and says where, if commands
# may stand anywhere else: in another kind of block, or within a line and in no block.
page_commands() {
  local span wrong=0
  rm -rf "$2" && mkdir -p "$2"
  : >"$2/not_run"
  awk -v folder="$2" -v page="$(basename "$1")" '
    /^ *(```|~~~)/ && !inside {
      inside = 1; first = 1
      if ($0 != "```sh") { print page ":" NR ": a block of commands begins with ```sh alone, not " $0; bad = 1 }
      next
    }
    /^ *(```|~~~)/ { inside = 0; next }
    inside && first {
      first = 0
      skipped = /^# Not run by a test: ./
      if (skipped) next
      file = sprintf("%s/block%02d", folder, ++n)
      print "# " page ":" NR >file
    }
    inside { print >(skipped ? folder "/not_run" : file); next }
    /^(    |\t)/ && before == "" || /<(pre|code)/ { print page ":" NR ": commands stand in ```sh blocks: " $0; bad = 1 }
    { before = $0 }
    END { if (inside) { print page ": a block without end"; bad = 1 } exit bad }' "$1" || wrong=1
  # Text: what stands between single backticks on a line outside of blocks.
  while IFS= read -r span; do
    grep -qF -- "$span" "$2"/* || { echo "$(basename "$1"): no block runs \`$span\`"; wrong=1; }
  done < <(awk '/^```/ { inside = !inside; next } !inside' "$1" | grep -oE '`[^`]+`' | tr -d '`' | grep -E "^($page_programs) ")
  return $wrong
}
