#!/usr/bin/env bash
# Acceptance: cross build for arm64 (scripts/cross.sh), and the programs of the packages under emulation: --version, check, model inspect, and
# the demo for some seconds.
#   scripts/acceptance/arm64.sh [OPTION of scripts/package.sh…]
set -euo pipefail
cd "$(dirname "$0")/../.."
packages=target/acceptance/arm64 root=$PWD/target/cross/root
scripts/cross.sh --out "$packages" "$@"
work=$root/acceptance
rm -rf "$work"
mkdir -p "$work"
mounted=()
down() { for place in "${mounted[@]}"; do umount "$place"; done; rm -rf --one-file-system "$work"; }
trap down EXIT
mount --bind /proc "$root/proc" && mounted+=("$root/proc")
for deb in "$packages"/*_arm64.deb; do dpkg-deb --extract "$deb" "$work"; done
cp systemd/egret.toml models/street/street.onnx models/street/model.toml "$work/"
here() { timeout --foreground 600 chroot "$root" env -C /acceptance HOME=/tmp "$@"; }
for program in usr/bin/egret usr/bin/egret-demo; do
  file=$(LC_ALL=C readelf --file-header "$work/$program" | sed -n 's/^ *Machine: *//p')
  [ "$file" = AArch64 ] || { echo "arm64: $program is for $file" >&2; exit 1; }
  here "/acceptance/$program" --version
  here "/acceptance/$program" check --config /acceptance/egret.toml
  here "/acceptance/$program" model inspect /acceptance/street.onnx | head -n 12
done
# Emulation is some ten times slower than a device: few frames, small ones.
here /acceptance/usr/bin/egret-demo demo --help >/dev/null
here /acceptance/usr/bin/egret-demo demo --cameras 1 --for 30s
echo "arm64: packages and programs are good"
