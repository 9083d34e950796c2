# shellcheck shell=bash
# Sourced by tests that give the program bad input. Every run ends with 0, 1 or 2 and says nothing
# but its own lines; a refusal is one "shoal: error: " line, and every file stays as it was.
shoal=${SHOAL_BINARY:?}
export OMP_NUM_THREADS=1
scene=$(mktemp -d /tmp/shoal-test-XXXXXX)
trap 'rm -rf "$scene"' EXIT
mkdir "$scene/scene"
cd "$scene/scene" || exit 1
n_run=0
n_failed=0

listing() { find . -type d -printf '%p\n' -o -printf '%p %s %T@\n' | LC_ALL=C sort; }

complain() {
  echo "FAIL $1: exit $code"
  echo "  $command"
  head -c 3000 ../err
  n_failed=$((n_failed + 1))
}

# survives COMMAND...: runs it below the rules above; its exit code is $code, its words are in ../err.
survives() {
  command="$*"
  listing >../before
  code=0
  timeout 300 "$@" >../out 2>../err || code=$?
  listing >../after
  n_run=$((n_run + 1))
  if [ "$code" -gt 2 ]; then
    complain "died"
  elif grep -qav '^shoal: ' ../err; then
    complain "foreign words"
  elif [ "$code" -ne 0 ] && [ "$(grep -ac '^shoal: error: ' ../err)" -ne 1 ]; then
    complain "not one line of error"
  elif [ "$code" -ne 0 ] && ! cmp -s ../before ../after; then
    complain "left behind: $(diff ../before ../after | tr '\n' ' ')"
  fi
}

# refused CODE WORDS COMMAND...: the command is refused with this exit code and words (fixed text).
refused() {
  local want=$1 words=$2
  shift 2
  survives "$@"
  if [ "$code" -ne "$want" ]; then
    complain "want exit $want"
  elif ! grep -a '^shoal: error: ' ../err | grep -aF -- "$words" >/dev/null; then
    complain "want \"$words\""
  fi
}

# flip FILE BYTE: turns one bit over.
flip() {
  local value
  value=$(od -An -t u1 -j "$2" -N 1 "$1")
  # shellcheck disable=SC2059 # the format is the byte
  printf "$(printf '\\x%02x' $((value ^ 4)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# A data set of four small pictures and a config that trains on it in a second, nothing of it saved
# but the weights.
make_set() {
  survives "$shoal" pack synth --out synth --images 4 --size 32
  survives "$shoal" pack coco --annotations synth/annotations/instances_train.json \
    --images synth/train --out set/train --shards 2
  cat >tiny.yaml <<'YAML'
model: {backbone: resnet18, norm: gn, trainable_stages: 5, fpn_channels: 8,
        rpn: {anchor_sizes: [16, 32, 64, 128, 256], pre_nms_top_n_train: 50,
              post_nms_top_n_train: 20}, roi: {batch_per_image: 8, hidden: 8}}
input: {min_size: 32, max_size: 32}
data: {train: set/train, val: set/train, workers: 1}
train: {max_steps: 1, batch: 2, out_dir: run}
eval: {every_epochs: 0}
YAML
}

report() {
  echo "$n_run runs, $n_failed failed"
  [ "$n_failed" -eq 0 ]
}
