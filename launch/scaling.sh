#!/usr/bin/env bash
# Measures how training scales: runs CONFIG for a few steps at each number of ranks, three times after a
# warm-up, and leaves DIR/scaling.csv and DIR/scaling.png (throughput, efficiency, and where a step's time
# goes). Strong scaling keeps train.batch; weak scaling keeps the images of a rank.
#
#   launch/scaling.sh [OPTION ...] CONFIG [key=value ...]
#
#   --ranks 1,2,4         numbers of ranks (1,2)
#   --mode weak|strong    or both (weak)
#   --images N            images of a rank in a step of weak scaling (train.micro_batch)
#   --steps N, --warmup N steps measured, and left out before them (10, 3)
#   --repeats N           (3)
#   --hosts H1:2,H2:2     over hosts, filled one after the other; here unless given
#   --slurm               one job each; further options for sbatch in $SBATCH_OPTIONS
#   --per-node N          ranks of a node in these jobs (1)
#   --bind, --rsh, --interface   as in launch/mpirun.sh
#   --out DIR             (runs/scaling); what is measured there already is not measured again
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
ranks=1,2 modes=(weak) images='' steps=10 warmup=3 repeats=3 hosts='' slurm='' per_node=1 out=runs/scaling
words=() options=()
shoal=${SHOAL_BINARY:-build/release/shoal}

fail() {
  echo "scaling.sh: $*" >&2
  exit 2
}
number() {
  [[ $2 =~ ^[1-9][0-9]*$ ]] || fail "$1 $2: want a number"
}

while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    --slurm) slurm=yes; shift; continue ;;
    --*) [ $# -gt 1 ] || fail "$1 wants a value" ;;
  esac
  case $1 in
    --ranks) ranks=$2 ;;
    --mode)
      case $2 in
        weak | strong) modes=("$2") ;;
        both) modes=(weak strong) ;;
        *) fail "--mode $2: want weak, strong or both" ;;
      esac
      ;;
    --images) number "$1" "$2"; images=$2 ;;
    --steps) number "$1" "$2"; steps=$2 ;;
    --warmup) number "$1" "$2"; warmup=$2 ;;
    --repeats) number "$1" "$2"; repeats=$2 ;;
    --hosts) hosts=$2 ;;
    --per-node) number "$1" "$2"; per_node=$2 ;;
    --bind | --rsh | --interface) options+=("$1" "$2") ;;
    --out) out=$2 ;;
    -*) fail "what is $1? see --help" ;;
    *) words+=("$1"); shift; continue ;;
  esac
  shift 2
done
[ ${#words[@]} -gt 0 ] || fail "no config given; see --help"
command -v gnuplot >/dev/null || fail "gnuplot is not installed (Debian: gnuplot-nox)"
IFS=, read -ra ranks <<<"$ranks"
for n in "${ranks[@]}"; do number --ranks "$n"; done
: "${images:=$("$shoal" config "${words[@]}" --key train.micro_batch)}" || exit 2
batch=$("$shoal" config "${words[@]}" --key train.batch) || exit 2

# first_hosts N: as much of the list of hosts as N ranks fill.
first_hosts() {
  local left=$1 entry list=() slots
  for entry in ${hosts//,/ }; do
    [ "$left" -gt 0 ] || break
    slots=1
    [[ $entry != *:* ]] || slots=${entry##*:}
    [ "$slots" -le "$left" ] || slots=$left
    list+=("${entry%:*}:$slots")
    left=$((left - slots))
  done
  [ "$left" -eq 0 ] || fail "$hosts have no room for $1 ranks"
  (IFS=,; echo "${list[*]}")
}

# run MODE RANKS REPEAT: one run, to the end; its metrics are in $folder.
run() {
  local of=$batch
  [ "$1" = strong ] || of=$((images * $2))
  folder=$out/$1-$2-$3
  [ ! -e "$folder/done.json" ] || return 0
  rm -rf "$folder"
  local settings=(train.batch="$of" train.max_steps=$((warmup + steps)) train.epochs=1000000 train.out_dir="$folder"
    optimizer.lr_for_batch=0 checkpoint.every_steps=0 checkpoint.every_epochs=0 eval.every_epochs=0
    'expect.bbox_ap=[]' 'expect.bbox_ap50=[]')
  [ "$1" = weak ] || [ $((batch % $2)) -eq 0 ] || fail "train.batch $batch does not divide among $2 ranks"
  echo "scaling.sh: $1, $2 ranks, run $3 of $repeats, train.batch=$of" >&2
  if [ -n "$slurm" ]; then
    local tasks=$(($2 < per_node ? $2 : per_node))
    # shellcheck disable=SC2086 # several options
    sbatch --wait --nodes=$((($2 + tasks - 1) / tasks)) --ntasks-per-node=$tasks --output="$folder.log" \
      ${SBATCH_OPTIONS:-} "$here/slurm.sbatch" "${words[@]}" "${settings[@]}"
  else
    "$here/mpirun.sh" --max-restarts 0 --hosts "$([ -n "$hosts" ] && first_hosts "$2" || echo "localhost:$2")" \
      ${options[@]+"${options[@]}"} "${words[@]}" "${settings[@]}" >"$folder.log" 2>&1
  fi
  [ -e "$folder/done.json" ] || { tail -n 5 "$folder.log" >&2; fail "$folder failed; see $folder.log"; }
  rm -rf "$folder/checkpoints" # large, and of no use
}

# measured MODE RANKS REPEAT: a line of the table, from the steps after the warm-up.
measured() {
  sed -n "$((warmup + 1)),$((warmup + steps))p" "$folder/metrics.jsonl" | awk -v mode="$1" -v ranks="$2" -v repeat="$3" '
    function of(key) { match($0, "\"" key "\": [^,}]*"); return substr($0, RSTART + length(key) + 4, RLENGTH - length(key) - 4) + 0 }
    { n++; t = of("step_s"); step += t; images += of("images_per_s") * t
      wait += of("data_wait_s"); compute += of("compute_s"); comm += of("comm_exposed_s") }
    END { rest = step - wait - compute - comm
          printf "%s,%d,%d,%d,%d,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g\n", mode, ranks, repeat, images / n + 0.5, n, images / step,
            step / n, compute / n, wait / n, comm / n, (rest > 0 ? rest : 0) / n }'
}

# Efficiency: throughput of a rank against that at the smallest number of ranks (mean of its repeats).
with_efficiency() {
  awk -F, -v OFS=, '
    { line[NR] = $0; if (!($1 in least) || $2 < least[$1]) { least[$1] = $2; sum[$1] = n[$1] = 0 }
      if ($2 == least[$1]) { sum[$1] += $6 / $2; n[$1]++ } }
    END { for (i = 1; i <= NR; i++) { split(line[i], f, ","); print line[i], sprintf("%.4f", f[6] / f[2] / (sum[f[1]] / n[f[1]])) } }'
}

# Means over the repeats, for the picture and for people: mode ranks images/s least most efficiency and a
# step's parts in milliseconds.
means() {
  awk -F, 'NR > 1 { k = $1 " " $2; if (!(k in n)) order[++m] = k
      n[k]++; v[k] += $6; e[k] += $12; c[k] += $8; w[k] += $9; x[k] += $10; r[k] += $11
      if (!(k in lo) || $6 < lo[k]) lo[k] = $6
      if (!(k in hi) || $6 > hi[k]) hi[k] = $6 }
    END { for (i = 1; i <= m; i++) { k = order[i]; printf "%s %.4g %.4g %.4g %.3f %.4g %.4g %.4g %.4g\n", k, v[k] / n[k], lo[k], hi[k],
      e[k] / n[k], 1000 * c[k] / n[k], 1000 * w[k] / n[k], 1000 * x[k] / n[k], 1000 * r[k] / n[k] } }' "$out/scaling.csv"
}

draw() {
  local mode runs='one run each'
  [ "$repeats" -eq 1 ] || runs="least, mean and most of $repeats runs"
  for mode in "${modes[@]}"; do means | grep "^$mode " >"$out/$mode.dat"; done
  gnuplot <<END
set terminal pngcairo size 1680,620 font "DejaVu Sans,12"
set output "$out/scaling.png"
set multiplot layout 1,3 title "Scaling of $(basename "${words[0]}"), $steps steps after a warm-up of $warmup" font ",15" margins 0.05,0.99,0.16,0.84 spacing 0.06
modes = "${modes[*]}"
name(i) = word(modes, i)
file(i) = "$out/".name(i).".dat"
cell(i, column) = real(system(sprintf("head -n 1 %s | cut -d' ' -f%d", file(i), column)))
first(i) = cell(i, 3) / cell(i, 2)
set linetype 1 lc rgb "#0072b2" lw 2 pt 7 ps 1.3
set linetype 2 lc rgb "#d55e00" lw 2 pt 5 ps 1.3
set grid ytics lc rgb "#dddddd" lw 1
set border 3
set tics nomirror
set key top left Left reverse samplen 2
set xlabel "ranks"
set logscale x 2
set xtics ($(IFS=,; echo "${ranks[*]}"))
set xrange [${ranks[0]}*0.8:${ranks[-1]}*1.25]
set logscale y 2
set ylabel "images/s"
set title "Throughput ($runs)"
plot for [i=1:words(modes)] first(i)*x dashtype 2 lc rgb "#999999" lw 1.5 title (i == 1 ? "linear" : ""), \
     for [i=1:words(modes)] file(i) using 2:3:4:5 with yerrorlines lt i title name(i)
unset logscale y
set ylabel "images/s of a rank, in % of that at ${ranks[0]}"
set yrange [0:119]
set key bottom left
set title "Efficiency"
plot 100 dashtype 2 lc rgb "#999999" lw 1.5 notitle, \
     for [i=1:words(modes)] file(i) using 2:(100*\$6) with linespoints lt i title name(i), \
     for [i=1:words(modes)] file(i) using 2:(100*\$6):(sprintf("%.0f %%", 100*\$6)) with labels offset 0,(i == 1 ? 1 : -1) \
       textcolor lt i notitle
unset logscale x
unset xrange
set xtics autofreq rotate by $((${#modes[@]} * ${#ranks[@]} > 5 ? 40 : 0)) $([ $((${#modes[@]} * ${#ranks[@]})) -gt 5 ] && echo right)
set autoscale x
set yrange [0:*]
set key top left Left reverse samplen 1
set style data histograms
set style histogram rowstacked
set style fill solid 1 noborder
set boxwidth 0.7
set offsets 0, 0, graph 0.3, 0
set ylabel "milliseconds of a step"
set xlabel ""
set title "Where a step's time goes"
plot "< cat $(printf "$out/%s.dat " "${modes[@]}")" using 7:xtic(stringcolumn(1)." ".stringcolumn(2)) lc rgb "#0072b2" title "compute", \
     "" using 8 lc rgb "#f0e442" title "waiting for data", "" using 9 lc rgb "#d55e00" title "exposed communication", \
     "" using 10 lc rgb "#999999" title "the rest"
END
  for mode in "${modes[@]}"; do rm -f "$out/$mode.dat"; done
}

mkdir -p "$out"
lines=$(
  for mode in "${modes[@]}"; do
    for n in "${ranks[@]}"; do
      for ((repeat = 1; repeat <= repeats; repeat++)); do
        run "$mode" "$n" "$repeat" >&2 && measured "$mode" "$n" "$repeat" || exit 1
      done
    done
  done
) || exit
{
  echo mode,ranks,repeat,batch,steps,images_per_s,step_s,compute_s,data_wait_s,comm_exposed_s,rest_s,efficiency
  with_efficiency <<<"$lines"
} >"$out/scaling.csv"
draw || exit
echo "  mode ranks  images/s efficiency   compute  waiting exposed     rest (ms of a step)"
means | awk '{ printf "%6s %5d %9s %9.0f%% %9s %8s %8s %8s\n", $1, $2, $3, 100 * $6, $7, $8, $9, $10 }'
echo "$out/scaling.csv, $out/scaling.png"
