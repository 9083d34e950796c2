#!/usr/bin/env bash
# The summaries of plans.txt, a line a configuration: R18 and R50, three canvases, three described GPUs,
# three precisions.
#
#   tests/cuda/plan_table.sh full|offered [WORDS...] >lines
#
# full compiles every plan: minutes of processor time each; offered takes the heuristics' word: seconds.
# WORDS choose among the configurations: "h100 50 800x1344". Run it where build/release is built.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
how=${1:?plan_table.sh: full or offered}
shift
cudnn=/usr/lib/x86_64-linux-gnu
for folder in /usr/local/cuda/lib /usr/local/cuda/lib64; do
  [ -e "$folder/libcudnn.so.9" ] && cudnn=$folder
done
export LD_LIBRARY_PATH=build/release/tests/cuda/driver:$cudnn
for precision in bf16 tf32 fp32; do
  for gpu in h100 a100 b200; do
    for depth in 50 18; do
      for canvas in 800x1344 1344x800 480x640; do
        for word in "$@"; do
          case " $gpu $depth $canvas $precision " in *" $word "*) ;; *) continue 2 ;; esac
        done
        build/release/plans $gpu $depth $canvas 2 $precision "$how" | tail -1
      done
    done
  done
done
