#!/usr/bin/env bash
# The recipes against OpenEmbedded's style guide (oelint-adv), any finding a failure; and the files for kas against kas's own schema.
#   scripts/yocto-lint.sh PYTHON      the interpreter that scripts/yocto-venv.sh prints
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:?an interpreter with oelint-adv and kas}

# What is not asked for, and why.
suppressed=(
  oelint.vars.homepageping            # reaches for the network
  oelint.vars.specific                # does not know the override `tegra`
  oelint.var.licenseremotefile        # files that come with the layer carry the layer's licence
  oelint.vars.autorev                 # the daemon comes from the checkout that the layer is part of
  oelint.task.noanonpython            # the one way to skip a recipe with a reason
)
mapfile -t recipes < <(find yocto/meta-egret -name '*.bb' -o -name '*.bbappend' | LC_ALL=C sort)
arguments=()
for rule in "${suppressed[@]}"; do arguments+=(--suppress "$rule"); done
"$(dirname "$python")/oelint-adv" --release wrynose --quiet --hide info --jobs 1 --relpaths --constantmods +yocto/oelint-variables.json \
  "${arguments[@]}" "${recipes[@]}"

"$python" - yocto/kas/*.yml <<'PYTHON'
import json, pathlib, sys
import jsonschema, kas, yaml

schema = json.loads((pathlib.Path(kas.__file__).parent / "schema-kas.json").read_text())
problems = 0
for name in sys.argv[1:]:
    for problem in jsonschema.Draft7Validator(schema).iter_errors(yaml.safe_load(pathlib.Path(name).read_text())):
        print(f"{name}: {'.'.join(map(str, problem.absolute_path))}: {problem.message}", file=sys.stderr)
        problems += 1
sys.exit(problems > 0)
PYTHON
