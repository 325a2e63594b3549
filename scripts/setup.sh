#!/usr/bin/env bash
# Installs what scripts/demo.sh or scripts/test.sh needs and says so first: Debian packages that are missing, and ONNX Runtime's
# library into .runtime/. Quiet when nothing is missing.
#   scripts/setup.sh demo|test|runtime
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-}
case $what in demo | test | runtime) ;; *) echo "setup: say what for: scripts/setup.sh demo|test|runtime" >&2; exit 2 ;; esac

say() { printf 'setup: %s\n' "$*" >&2; }

# To build, to run; to test also a broker from outside, Graphviz, shellcheck, systemd-analyze, partition tables and Python for the reference.
packages=(build-essential pkg-config ca-certificates libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstrtspserver-1.0-dev
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
  python3 python3-pip)
if [ "$what" = test ]; then
  packages+=(mosquitto mosquitto-clients graphviz shellcheck systemd fdisk python3-venv)
  # The reference needs Python 3.11; Ubuntu 22.04 has it beside its own 3.10.
  if command -v python3 >/dev/null && python3 -c 'import sys; sys.exit(sys.version_info >= (3, 11))'; then
    packages+=(python3.11 python3.11-venv)
  fi
fi

cargo_present() {
  command -v cargo >/dev/null && return
  say "cargo is missing. Install Rust 1.94 or newer (https://rustup.rs), then run this again."
  exit 1
}

missing_packages() {
  local p
  for p in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || printf '%s\n' "$p"
  done
}

install_packages() {
  if ! command -v apt-get >/dev/null; then
    say "no apt-get here: install the equivalents of ${packages[*]} yourself if the build asks for them."
    return
  fi
  local missing root=() apt
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0
  say "about to install ${#missing[@]} system packages: ${missing[*]}"
  case " ${missing[*]} " in
    *" mosquitto "*) say "note: the package mosquitto also starts its service; the tests use brokers of their own on free ports" ;;
  esac
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { say "neither root nor sudo: run as root: apt-get install ${missing[*]}"; exit 1; }
    root=(sudo)
  fi
  apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120)
  "${apt[@]}" update >/dev/null
  # What apt itself says of the size, before it begins.
  apt-get -q --assume-no --no-install-recommends install "${missing[@]}" 2>/dev/null | grep -E '^(Need to get|After this)' >&2 || true
  "${apt[@]}" --no-install-recommends install "${missing[@]}" >/dev/null </dev/null
}

# The library that runs networks fastest on a CPU, from the PyPI wheel: pinned by version and hash, loaded at run time.
onnxruntime_version=1.31.1
install_runtime() {
  local target=.runtime/libonnxruntime.so stamp=.runtime/version hash size wheels machine
  machine=$(uname -m)
  case $machine in
    x86_64) hash=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f size=23.8 ;;
    aarch64) hash=da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3 size=21.4 ;;
    *) say "no pinned ONNX Runtime for $machine"; return 1 ;;
  esac
  if [ -e "$target" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$onnxruntime_version $hash" ]; then return 0; fi
  say "about to download ONNX Runtime $onnxruntime_version ($size MB wheel from PyPI, sha256 ${hash:0:12}…) into .runtime/"
  wheels=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$wheels'" RETURN
  echo "onnxruntime==$onnxruntime_version --hash=sha256:$hash" >"$wheels/requirements.txt"
  # Only the library inside is used, so the Python version is that of the pinned wheel, not of this machine.
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
    --require-hashes --requirement "$wheels/requirements.txt" --dest "$wheels" </dev/null || return 1
  python3 scripts/unpack-onnxruntime.py "$wheels"/onnxruntime-*.whl .runtime || return 1
  echo "$onnxruntime_version $hash" >"$stamp"
}

cargo_present
[ "$what" = runtime ] || install_packages
# The feature `tensorrt` compiles against headers only.
[ "$what" != test ] || scripts/tensorrt-headers.sh
if ! install_runtime; then
  say "=================================================================="
  say "ONNX Runtime could not be fetched."
  if [ "$what" = demo ]; then
    say "The demo goes on with the built-in runtime rten: same results, 2 to 3 times slower."
  else
    say "The tests that compare with ONNX Runtime need it: connect to PyPI and run this again."
  fi
  say "=================================================================="
  [ "$what" = demo ]
fi
