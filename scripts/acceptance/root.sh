#!/usr/bin/env bash
# A Debian 12 with systemd, a broker, and what the packages depend on, in target/acceptance/root: the lower layer of containers. Made once; as
# root.
#   scripts/acceptance/root.sh PACKAGE.deb…
# Packages of another architecture get a root of theirs, target/acceptance/root-arm64, whose programs run under emulation, without systemd.
# DEBIAN_MIRROR: default http://deb.debian.org/debian
set -euo pipefail
cd "$(dirname "$0")/../.."
root=target/acceptance/root mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
[ "$(id -u)" -eq 0 ] || { echo "root.sh: run it as root" >&2; exit 1; }
architecture=$(dpkg-deb --field "$1" Architecture)
command -v mmdebstrap >/dev/null || { echo "root.sh: install mmdebstrap" >&2; exit 1; }
# What the packages say that they need, the first of alternatives (Debian 12 knows no name with t64): what is missing there is missed here.
if [ "$architecture" = "$(dpkg --print-architecture)" ]; then
  wanted=systemd,systemd-sysv,dbus,udev,init-system-helpers,mosquitto,mosquitto-clients,jq,curl,procps,libfaketime
else
  wanted=init-system-helpers root+=-$architecture
fi
for deb in "$@"; do
  for field in Depends Recommends; do
    wanted+=,$(dpkg-deb --field "$deb" "$field" | tr ',' '\n' | sed -E 's/^ *[a-z0-9.+-]+t64[^|]*\|//; s/^ *([a-z0-9.+-]+).*/\1/' | grep -v '^egret' | paste -sd, -)
  done
done
wanted=$(tr ',' '\n' <<<"$wanted" | sort -u | paste -sd, -)
if [ "$(cat "$root.stamp" 2>/dev/null)" = "$wanted" ] && [ -d "$root" ]; then exit 0; fi
rm -rf --one-file-system "$root"
mkdir -p "${root%/*}"
mmdebstrap --quiet --variant=minbase --architectures="$architecture" --include="$wanted" bookworm "$root" "deb $mirror bookworm main"
# The tests take time by the journal, and no stranger's timers run meanwhile.
rm -f "$root"/etc/systemd/system/timers.target.wants/*
echo "$wanted" >"$root.stamp"
