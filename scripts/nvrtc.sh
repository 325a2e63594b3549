#!/usr/bin/env bash
# NVIDIA's runtime compiler of CUDA 12.6 and 13.0 (libraries of their Python wheels, which need no Python), so that tests compile the
# kernels with no device. Prints the folders, with a colon between, for EGRET_NVRTC. Pinned by digest; brought once, into target/nvrtc.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || { echo "nvrtc: pinned for x86-64 Linux only" >&2; exit 1; }
python=
for candidate in python3 target/reference-venv/bin/python; do
  if "$candidate" -m pip --version >/dev/null 2>&1; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || { echo "nvrtc: needs python3 with pip (or scripts/reference-venv.sh first)" >&2; exit 1; }

# NAME VERSION SHA256 LIBRARY-FOLDER
wheel() {
  local name=$1 version=$2 sha256=$3 folder=target/nvrtc/$1-$2
  if [ ! -e "$folder/$4" ]; then
    echo "nvrtc: about to download $name $version from PyPI" >&2
    local work
    work=$(mktemp -d -p "$(mkdir -p target/nvrtc && echo target/nvrtc)")
    # --require-hashes: what is not the pinned file is not unpacked.
    echo "$name==$version --hash=sha256:$sha256" >"$work/pin"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
      --python-version 3.11 --platform manylinux2014_x86_64 --platform manylinux2010_x86_64 --platform manylinux_2_27_x86_64 \
      -d "$work" -r "$work/pin" >&2 </dev/null
    "$python" -m zipfile -e "$work"/*.whl "$work/wheel"
    rm -rf "$folder"
    mv "$work/wheel" "$folder"
    rm -rf "$work"
  fi
  echo "$PWD/$folder/$4"
}

old=$(wheel nvidia-cuda-nvrtc-cu12 12.6.85 800927308ccc5dd6246d3f61f7fcef2ed7ec4e59e199090d360d3293f78bd5a2 nvidia/cuda_nvrtc/lib)
new=$(wheel nvidia-cuda-nvrtc 13.0.88 ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575 nvidia/cu13/lib)
echo "$old:$new"
