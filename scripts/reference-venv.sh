#!/usr/bin/env bash
# The Python environment of the tests that compare with the published implementations: YOLOX, ONNX Runtime, onnx.checker, pycocotools,
# TrackEval; and of those that read messages with other people's code: cbor2, Protobuf with its compiler, jsonschema, PyYAML.
# Prints the path of its interpreter. Pinned; made once, in target/reference-venv.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=target/reference-venv
pins=(numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 opencv-python-headless==5.0.0.93 pycocotools==2.0.11 scipy==1.17.1
  cbor2==6.2.1 grpcio-tools==1.85.1 jsonschema==4.26.0 protobuf==7.36.2 pyyaml==6.0.3)
# Without what its package asks for: a second OpenCV that would overwrite the first and needs libGL, and Matplotlib, for plots.
alone=(trackeval==1.3.0)

if [ "$(cat "$venv/pins" 2>/dev/null)" != "${pins[*]} ${alone[*]}" ]; then
  # shellcheck source=scripts/venv.bash
  . scripts/venv.bash
  fresh_venv "$venv" reference-venv "the pinned onnxruntime has no older wheel"
  echo "reference-venv: about to install ${pins[*]} ${alone[*]} (about 140 MB from PyPI) into $venv" >&2
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: "${pins[@]}" >&2 </dev/null
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: --no-deps "${alone[@]}" >&2 </dev/null
  echo "${pins[*]} ${alone[*]}" >"$venv/pins"
fi
echo "$PWD/$venv/bin/python"
