#!/usr/bin/env bash
# Both packages for arm64, on an amd64 machine, in one command: makes a Debian 13 root with Rust of trixie-backports, the cross compiler and
# arm64 libraries, builds in it, and packages.
#   scripts/cross.sh [DIR] [OPTION of scripts/package.sh…]      DIR: where the root is kept; default: target/cross/root
# As root, with mmdebstrap, qemu-user-static and binfmt-support. DEBIAN_MIRROR: default http://deb.debian.org/debian
set -euo pipefail
# What is mounted is mounted for this process alone, and gone with it however it ends.
if [ "${EGRET_OWN_MOUNTS:-}" != "$0" ]; then
  [ "$(id -u)" -eq 0 ] || { echo "${0##*/}: run it as root" >&2; exit 1; }
  EGRET_OWN_MOUNTS=$0 exec unshare --mount "$0" "$@"
fi
cd "$(dirname "$0")/.."
top=$PWD root=$PWD/target/cross/root
case ${1:-} in --* | '') ;; *) root=$(realpath -m "$1") && shift ;; esac
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
triple=aarch64-unknown-linux-gnu
for tool in mmdebstrap qemu-aarch64-static update-binfmts; do
  command -v $tool >/dev/null || { echo "cross: $tool is missing: apt-get install mmdebstrap qemu-user-static binfmt-support" >&2; exit 1; }
done
# Programs for arm64 simply run, in the root too: man pages and completions are written by the program itself.
mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
update-binfmts --enable qemu-aarch64

if [ ! -e "$root.done" ]; then
  rm -rf --one-file-system "$root"
  mkdir -p "${root%/*}"
  mmdebstrap --quiet --variant=minbase --architectures=amd64,arm64 \
    --include=ca-certificates,gcc,libc6-dev,pkg-config,debhelper,gcc-aarch64-linux-gnu,g++-aarch64-linux-gnu,libc6-dev-arm64-cross \
    trixie "$root" "deb $mirror trixie main" "deb $mirror trixie-backports main"
  # All from one suite: libraries of both architectures have to be of one version.
  in_root=(chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends -t trixie-backports)
  chroot "$root" apt-get -q update
  "${in_root[@]}" rustc cargo libstd-rust-dev:arm64
  "${in_root[@]}" libgstreamer1.0-dev:arm64 libgstreamer-plugins-base1.0-dev:arm64 libgstrtspserver-1.0-dev:arm64 libstdc++6:arm64
  touch "$root.done"
fi

# Rust's standard library looks, weakly, for two functions that glibc has since 2.39, and a linker that finds them notes that the program needs
# 2.39. Under another name nobody has them; the library then does without, as it does on JetPack 6.
cat >"$root/usr/local/bin/aarch64-linux-gnu-gcc" <<'END'
#!/bin/sh
exec /usr/bin/aarch64-linux-gnu-gcc -Wl,--wrap=pidfd_spawnp -Wl,--wrap=pidfd_getpid "$@"
END
chmod 755 "$root/usr/local/bin/aarch64-linux-gnu-gcc"

# What may need the network is done out here.
scripts/tensorrt-headers.sh
cargo fetch --locked --target "$triple"
registry=${CARGO_HOME:-$HOME/.cargo}/registry
mkdir -p "$root/src" "$root/root/.cargo/registry"
mounted=()
unmount() { for place in "${mounted[@]}"; do umount "$place"; done; }
trap unmount EXIT
bind() { mount --bind "$1" "$2" && mounted+=("$2"); }
bind "$top" "$root/src"
bind "$registry" "$root/root/.cargo/registry"
bind /proc "$root/proc"
chroot "$root" env -C /src PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CARGO_HOME=/root/.cargo CARGO_NET_OFFLINE=true CARGO_TARGET_DIR=/src/target/cross/build \
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
  CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++ PKG_CONFIG_ALLOW_CROSS=1 \
  PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig \
  SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" \
  scripts/package.sh --target "$triple" "$@"
