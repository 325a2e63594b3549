#!/usr/bin/env bash
# Puts TensorRT's public C++ headers (Apache-2.0 from version 10 on) into target/tensorrt-headers/{10.16,11.0,11.4}, so that the
# feature `tensorrt` of egret-jetson compiles on a machine without any NVIDIA software. They come out of the crate trtx-sys, which
# carries them: fetched by cargo from the registry it is configured for, held against pinned digests, unpacked as data and never
# built. Quiet when nothing is missing.
#   scripts/tensorrt-headers.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-target/tensorrt-headers}

say() { printf 'tensorrt-headers: %s\n' "$*" >&2; }

# TensorRT, crate version, sha256 of the crate as the registry's index has it.
sets=(
  "10.16 0.5.0 1efd9036abbd2775da5df4e49793ec8e656f026fb9c60dff7e95bda2d654e634"
  "11.0 0.6.0+rtx1.5 a20ef33bdda170608d38ffaa604ad0587c2e8f9383ccb7945d4e8fc2202508d0"
  "11.4 0.9.1+rtx1.7 5480ee056292951daa1bc74532162d6cb75190f091e45d7d97c0c356916ae171"
)

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1
}

unpack() {
  local version=$1 crate=$2 digest=$3 home archive work log
  if [ "$(cat "$target/$version/.from" 2>/dev/null)" = "$crate $digest" ]; then return 0; fi
  work=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$work'" RETURN
  # `cargo info` downloads exactly this crate into cargo's cache and nothing it depends on. Outside of the workspace, whose
  # lock file would otherwise have a say.
  if ! log=$(cd "$work" && cargo info --quiet "trtx-sys@$crate" 2>&1); then
    say "cargo cannot fetch trtx-sys $crate: $(tail -n 1 <<<"$log")"
    return 1
  fi
  home=${CARGO_HOME:-$HOME/.cargo}
  for archive in "$home"/registry/cache/*/"trtx-sys-$crate.crate"; do
    [ "$(sha256 "$archive" 2>/dev/null)" = "$digest" ] && break
    archive=
  done
  [ -n "$archive" ] || { say "cargo's cache holds no trtx-sys $crate with the digest ${digest:0:12}…"; return 1; }
  tar -xzf "$archive" -C "$work" --strip-components=2 "trtx-sys-$crate/TensorRT-Headers"
  mkdir -p "$target"
  rm -rf "${target:?}/$version"
  mv "$work/TRT-Enterprise-$version" "$target/$version"
  echo "$crate $digest" >"$target/$version/.from"
}

for set in "${sets[@]}"; do
  # shellcheck disable=SC2086 # three words
  unpack $set
done
