#!/usr/bin/env bash
# Installs what is missing, builds, and runs the whole test suite; ends with ctest's own summary.
set -euo pipefail
cd "$(dirname "$0")/.."
./ci/install-deps.sh
cmake --preset release
cmake --build --preset release
ctest --preset release -j "$(nproc)"
