#!/usr/bin/env bash
# Makes plans.txt: R18 and R50, three canvases, three described GPUs, three precisions, a line each.
#
#   tests/cuda/plan_table.sh full|offered [WORDS...] >tests/cuda/plans.txt
#
# full compiles every plan: minutes of processor time each, hours for all. What was planned stands in
# build/plan_table/GPU.log, a line a graph, and is not planned again: stop it at will, continue with the
# same command; after a change of the network only its new graphs are planned. offered takes the
# heuristics' word: seconds each, no log.
# WORDS choose among the configurations: "h100 50 800x1344". Run it where build/release is built.
# Exit 1 where a graph has no plan.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
how=${1:-}
[[ $how == full || $how == offered ]] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
shift
cudnn=/usr/lib/x86_64-linux-gnu
for folder in /usr/local/cuda/lib /usr/local/cuda/lib64; do
  [ -e "$folder/libcudnn.so.9" ] && cudnn=$folder
done
export LD_LIBRARY_PATH=build/release/tests/cuda/driver:$cudnn
mkdir -p build/plan_table || exit 2
lines=$(mktemp) || exit 2
trap 'rm -f "$lines"' EXIT

cat <<'END'
# What cuDNN 9.19 says to every distinct convolution and fully connected graph of Faster R-CNN with FPN, for
# GPUs that were described to it (plans.c), three stages trained, batch 2. Made by plan_table.sh.
#
# "planned": engines chosen, compiled where that is needed, and finished. "offered": the heuristics name an
# engine that the precision allows; nothing was finished, so there is no workspace.
#
# Columns: GPU, network, canvas, precision; how; graphs; of them planned or offered; of them by the heuristics'
# last mode (fallback) only; the most workspace in MB; engines that use tensor cores (in bf16 and tf32 meant;
# strict fp32 has none), round fp32 inputs, keep sums in less than fp32, or add in no fixed order.
END
failed=0
for precision in bf16 tf32 fp32; do
  for gpu in h100 a100 b200; do
    for depth in 50 18; do
      for canvas in 800x1344 1344x800 480x640; do
        for word in "$@"; do
          case " $gpu $depth $canvas $precision " in *" $word "*) ;; *) continue 2 ;; esac
        done
        words=("$how")
        [ "$how" = full ] && words+=("log=build/plan_table/$gpu.log")
        build/release/plans "$gpu" "$depth" "$canvas" 2 "$precision" "${words[@]}" >"$lines"
        result=$?
        # Neither done nor a graph without a plan: stopped.
        [ "$result" -le 1 ] || exit "$result"
        grep 'NO PLAN' "$lines" >&2 && failed=1
        [ "$result" = 0 ] || failed=1
        tail -1 "$lines"
      done
    done
  done
done
exit "$failed"
