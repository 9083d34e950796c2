#!/usr/bin/env bash
# Installs the Debian packages that Shoal builds with; says first what is missing. Root or sudo.
# --checks: also the tools of ci/check.sh; --clang: also the compiler of the tsan and fuzz presets;
# --cluster: also what tests/cluster and launch/scaling.sh need (SLURM, sshd, gnuplot).
set -euo pipefail

packages=(
  build-essential cmake ninja-build pkg-config
  libopenmpi-dev openmpi-bin
  libdnnl-dev
  libjpeg62-turbo-dev
  libprotobuf-c-dev protobuf-c-compiler
  libfyaml-dev
  libisal-dev
  libsimdjson-dev
  libxxhash-dev
  libcairo2-dev fonts-dejavu-core
)
for option in "$@"; do
  case $option in
    --checks) packages+=(clang-format-14 clang-tidy-14 shellcheck) ;;
    --clang) packages+=(clang libclang-rt-14-dev libomp-dev) ;;
    --cluster) packages+=(slurmctld slurmd slurm-client munge openssh-server openssh-client iproute2 procps gnuplot-nox) ;;
    *) echo "usage: ci/install-deps.sh [--checks] [--clang] [--cluster]" >&2; exit 2 ;;
  esac
done

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep 'ok installed' >/dev/null || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi
echo "installing Debian packages: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "install-deps.sh: not root and no sudo; install these packages by hand: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
