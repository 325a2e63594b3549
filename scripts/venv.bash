# shellcheck shell=bash
# For the scripts that make Python environments.

# fresh_venv FOLDER WHO [WHY]: an empty environment of Python 3.11 or newer, in place of what was there. WHO is told to lack one, and WHY.
fresh_venv() {
  local python='' candidate
  for candidate in python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python=$candidate
      break
    fi
  done
  if [ -z "$python" ]; then
    echo "$2: needs Python 3.11 or newer with its venv module${3:+ ($3)}" >&2
    return 1
  fi
  rm -rf "$1"
  "$python" -m venv "$1" >&2
}
