#!/bin/sh
# nvcc.sh USAGE COMMAND...: a compilation whose messages go to the file USAGE, among them what ptxas
# says that each kernel takes; to the console too where it fails.
usage=$1
shift
"$@" 2>"$usage" || {
  code=$?
  cat "$usage" >&2
  exit $code
}
