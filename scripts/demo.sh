#!/usr/bin/env bash
# Installs what is missing, builds, and shows detections from four simulated cameras in the terminal.
#   scripts/demo.sh [arguments of `egret demo`]
# EGRET_PROFILE=release takes longer to build and less CPU to run.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh demo
# Without ONNX Runtime the built-in runtime takes over.
if [ -e .runtime/libonnxruntime.so ]; then export ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$PWD/.runtime/libonnxruntime.so}; fi
exec cargo run --locked --profile "${EGRET_PROFILE:-dev}" --package egret -- demo "$@"
