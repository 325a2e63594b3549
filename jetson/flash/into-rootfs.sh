#!/usr/bin/env bash
# Installs a package and its dependencies into a root file system of another architecture. prepare.sh calls it in a mount
# namespace of its own: what is mounted here is gone when this ends, however it ends.
#   into-rootfs.sh ROOTFS SOC DEB [PACKAGE…]
set -euo pipefail
[ $# -ge 3 ] || { echo "into-rootfs: ROOTFS SOC DEB [PACKAGE…] are missing; prepare.sh calls this" >&2; exit 2; }
rootfs=$1 soc=$2 deb=$3
shift 3

mount -t proc proc "$rootfs/proc"
mount --rbind /dev "$rootfs/dev"
# This machine's name servers. The root file system has a link there that leads nowhere before its resolver runs, or nothing.
mount -t tmpfs -o mode=0755 tmpfs "$rootfs/run"
mkdir -p "$rootfs/run/systemd/resolve"
cp --dereference /etc/resolv.conf "$rootfs/run/systemd/resolve/stub-resolv.conf"
cp --dereference /etc/resolv.conf "$rootfs/run/systemd/resolve/resolv.conf"
names=$rootfs/etc/resolv.conf made=''
if [ ! -L "$names" ]; then
  [ -e "$names" ] || made=$names
  touch "$names"
  mount --bind /etc/resolv.conf "$names"
fi

# NVIDIA's list of packages has the name of the chip to be filled in.
sed -i "s/<SOC>/$soc/" "$rootfs"/etc/apt/sources.list.d/nvidia-l4t-apt-source.list 2>/dev/null || true

# No service may start here: maintainer scripts ask this.
printf '#!/bin/sh\nexit 101\n' >"$rootfs/usr/sbin/policy-rc.d"
chmod 0755 "$rootfs/usr/sbin/policy-rc.d"
cp "$deb" "$rootfs/run/egret.deb"
chmod 0644 "$rootfs/run/egret.deb"

inside() { chroot "$rootfs" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"; }
inside apt-get -q update
inside apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confold install /run/egret.deb "$@"
inside apt-get -q clean
rm -f "$rootfs/usr/sbin/policy-rc.d"
[ -z "$made" ] || { umount "$made" && rm -f "$made"; }
