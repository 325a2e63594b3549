#!/usr/bin/env bash
# Acceptance: cross build for arm64 (scripts/cross.sh), and the programs of the packages under emulation: --version, check, model inspect, and
# the demo for some seconds.
#   scripts/acceptance/arm64.sh [OPTION of scripts/package.sh…]
set -euo pipefail
# What is mounted is mounted for this process alone, and gone with it however it ends.
if [ "${EGRET_OWN_MOUNTS:-}" != "$0" ]; then
  [ "$(id -u)" -eq 0 ] || { echo "${0##*/}: run it as root" >&2; exit 1; }
  EGRET_OWN_MOUNTS=$0 exec unshare --mount "$0" "$@"
fi
cd "$(dirname "$0")/../.."
packages=target/acceptance/arm64 root=$PWD/target/acceptance/root-arm64
[ -n "${EGRET_ACCEPTANCE_KEEP:-}" ] || scripts/cross.sh --out "$packages" "$@"
# Whose architecture they are is nothing to lintian.
lintian --allow-root --fail-on error,warning "$packages"/*_arm64.deb
echo "lintian: no error, no warning ($(lintian --version))"
scripts/acceptance/root.sh "$packages"/*_arm64.deb
work=$(mktemp -d "${TMPDIR:-/tmp}/egret-arm64.XXXXXX")
mkdir "$work/upper" "$work/work" "$work/root"
mounted=()
down() {
  local at
  for ((at = ${#mounted[@]} - 1; at >= 0; at--)); do umount "${mounted[at]}"; done
  rm -rf --one-file-system "$work"
}
trap down EXIT
mount -t overlay overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/work" "$work/root" && mounted+=("$work/root")
mount --bind /proc "$work/root/proc" && mounted+=("$work/root/proc")
cp "$packages"/*_arm64.deb models/street/street.onnx models/street/model.toml "$work/root/root/"
here() { timeout --foreground 900 chroot "$work/root" env -C /root HOME=/root LC_ALL=C.UTF-8 "$@"; }
# With what they say that they depend on, and nothing else.
here sh -c 'dpkg -i /root/*.deb >/root/dpkg.log 2>&1' || { cat "$work/root/root/dpkg.log"; exit 1; }
for program in egret egret-demo; do
  machine=$(LC_ALL=C readelf --file-header "$work/root/usr/bin/$program" | sed -n 's/^ *Machine: *//p')
  [ "$machine" = AArch64 ] || { echo "arm64: $program is for $machine" >&2; exit 1; }
  here "$program" --version
  here "$program" check --config /etc/egret/egret.toml
  here "$program" model inspect /root/street.onnx | head -n 12
done
# Emulation takes some ten times a device's time: one camera, few frames. It ends well only if the camera was seen and something detected.
here egret-demo demo --cameras 1 --fps 2 --for 60s
echo "arm64: packages and programs are good"
