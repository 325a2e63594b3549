#!/usr/bin/env bash
# The Python environment of the checks of yocto/: a linter of recipes, and kas, which brings the schema of its files. Prints the path of
# its interpreter. Pinned; made once, in target/yocto-venv or EGRET_YOCTO_VENV.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$(realpath -m "${EGRET_YOCTO_VENV:-target/yocto-venv}")
pins=(oelint-adv==9.11.2 oelint-data==1.5.26 oelint-parser==8.13.2 kas==5.5 jsonschema==4.26.0 pyyaml==6.0.3)

if [ "$(cat "$venv/pins" 2>/dev/null)" != "${pins[*]}" ]; then
  # shellcheck source=scripts/venv.bash
  . scripts/venv.bash
  fresh_venv "$venv" yocto-venv
  echo "yocto-venv: about to install ${pins[*]} from PyPI into $venv" >&2
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${pins[@]}" >&2 </dev/null
  echo "${pins[*]}" >"$venv/pins"
fi
echo "$venv/bin/python"
