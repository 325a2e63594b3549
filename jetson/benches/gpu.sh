#!/bin/bash
# gpu.sh [VIDEO.mp4]: everything that can be measured and checked on a machine with an NVIDIA GPU, as one page of Markdown.
#
# What is not at hand is named and left out: NVRTC (EGRET_NVRTC, see scripts/nvrtc.sh), PyTorch (EGRET_TORCH_PYTHON), compute-sanitizer,
# GStreamer's nvcodec. EGRET_BIN names a folder with the built `kernels` example where the machine has no cargo:
#   cargo build --release -p egret-jetson --features cpu-kernels --example kernels
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 70
video=${1:-}
failed=0
section() { printf '\n## %s\n\n' "$1"; }
absent() { echo "Not here: $1."; }
part() { "$@" || { failed=1; echo "**FAILED** ($?): $*"; }; }

kernels=${EGRET_BIN:-target/release/examples}/kernels
echo "# egret on $(uname -m), $(date -u +%F)"
section "Machine"
if command -v nvidia-smi >/dev/null; then
  part nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv
elif [ -r /etc/nv_tegra_release ]; then
  head -1 /etc/nv_tegra_release
  tr -d '\0' </proc/device-tree/model
  echo
else
  echo "gpu.sh: neither nvidia-smi nor /etc/nv_tegra_release is here: no NVIDIA device. The kernels' tests run on the CPU: scripts/test.sh" >&2
  exit 69
fi

section "Kernels beside their reference"
if command -v cargo >/dev/null; then
  part cargo nextest run -p egret-jetson --all-features --test device --test ptx
else
  absent "cargo, which builds the tests"
fi

section "Kernels: speed"
if [ ! -x "$kernels" ] && command -v cargo >/dev/null; then
  part cargo build --release -p egret-jetson --features cpu-kernels --example kernels
fi
if [ -x "$kernels" ]; then part "$kernels"; else absent "$kernels"; fi

section "PyTorch side by side"
python=${EGRET_TORCH_PYTHON:-python3}
if "$python" -c 'import torch, torchvision' 2>/dev/null; then
  part "$python" jetson/benches/side_by_side.py
else
  absent "torch and torchvision in $python (EGRET_TORCH_PYTHON names another)"
fi

section "compute-sanitizer"
if command -v compute-sanitizer >/dev/null && [ -x "$kernels" ]; then
  for tool in memcheck racecheck synccheck initcheck; do
    echo "$tool:"
    part compute-sanitizer --tool "$tool" --error-exitcode 1 "$kernels" --brief
  done
else
  absent "compute-sanitizer (of the CUDA toolkit), or $kernels"
fi

section "Decoder"
if [ -z "$video" ]; then
  absent "a video: name one, H.264 in MP4"
elif gst-inspect-1.0 --exists nvv4l2decoder 2>/dev/null; then
  part jetson/benches/nvdec.sh "$video" nvv4l2decoder
elif gst-inspect-1.0 --exists nvh264dec 2>/dev/null; then
  part jetson/benches/nvdec.sh "$video" nvh264dec
else
  absent "nvv4l2decoder and nvh264dec"
fi
exit $failed
