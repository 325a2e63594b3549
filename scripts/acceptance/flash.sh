#!/usr/bin/env bash
# Acceptance: jetson/flash/prepare.sh with the real tools on a real arm64 root file system (Debian 12, in place of NVIDIA's Ubuntu), under
# emulation. Of NVIDIA there are stand-ins: apply_binaries.sh, l4t_create_default_user.sh. Packages are really installed, users really made.
# As root, with mmdebstrap, qemu-user-static, binfmt-support.
#   scripts/acceptance/flash.sh           EGRET_DEB: egret's package for arm64, in place of a small one that is made here
# DEBIAN_MIRROR: default http://deb.debian.org/debian
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=$PWD/target/acceptance/flash mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
work=$cache/work rootfs=$cache/work/Linux_for_Tegra/rootfs
[ "$(id -u)" -eq 0 ] || { echo "flash.sh: run it as root" >&2; exit 1; }
for program in mmdebstrap qemu-aarch64-static update-binfmts bzip2; do
  command -v "$program" >/dev/null || { echo "flash.sh: $program is missing: apt-get install mmdebstrap qemu-user-static binfmt-support bzip2" >&2; exit 1; }
done
mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
update-binfmts --enable qemu-aarch64
mkdir -p "$cache"
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
ok() { printf 'ok      %s\n' "$*"; }

# The root file system as an archive, once.
if [ ! -e "$cache/rootfs.tbz2" ]; then
  mmdebstrap --quiet --variant=minbase --architectures=arm64 --include=systemd,systemd-sysv,openssh-server,sudo,ca-certificates,locales \
    bookworm "$cache/rootfs.tar" "deb $mirror bookworm main"
  bzip2 -1 <"$cache/rootfs.tar" >"$cache/rootfs.tbz2.new"
  rm "$cache/rootfs.tar"
  mv "$cache/rootfs.tbz2.new" "$cache/rootfs.tbz2"
fi

# A BSP with nothing in it but what prepare.sh calls.
bsp=$cache/bsp/Linux_for_Tegra
rm -rf "$cache/bsp" "$work"
mkdir -p "$bsp"/{nv_tegra,rootfs,tools/kernel_flash,bootloader/generic/cfg}
printf 'BSP_BRANCH=36\nBSP_MAJOR=5\nBSP_MINOR=0\n' >"$bsp/nv_tegra/bsp_version"
touch "$bsp"/{jetson-orin-nano-devkit-super.conf,tools/kernel_flash/{l4t_initrd_flash.sh,flash_l4t_t234_nvme.xml},bootloader/generic/cfg/flash_t234_qspi.xml}
cat >"$bsp/apply_binaries.sh" <<'END'
#!/bin/bash
set -e
echo "# R36 (release), REVISION: 5.0, GCID: 0, BOARD: generic" >rootfs/etc/nv_tegra_release
# NVIDIA's drivers come as a package; the chip's name is filled in before it is used.
echo "# deb https://repo.download.nvidia.com/jetson/<SOC> r36.5 main" >rootfs/etc/apt/sources.list.d/nvidia-l4t-apt-source.list
END
cat >"$bsp/tools/l4t_create_default_user.sh" <<'END'
#!/bin/bash
# -u USER -p PASSWORD -n HOSTNAME --accept-license
set -e
chroot rootfs useradd --create-home --shell /bin/bash --groups sudo,video "$2"
echo "$2:$4" | chroot rootfs chpasswd
echo "$6" >rootfs/etc/hostname
END
chmod +x "$bsp/apply_binaries.sh" "$bsp/tools/l4t_create_default_user.sh"
tar -C "$cache/bsp" -cjf "$cache/bsp.tbz2" Linux_for_Tegra

# A package that needs another one, makes its user and would start a service.
deb=${EGRET_DEB:-$cache/egret.deb}
if [ -z "${EGRET_DEB:-}" ]; then
  rm -rf "$cache/deb"
  mkdir -p "$cache"/deb/{DEBIAN,usr/bin,usr/lib/systemd/system,etc/egret}
  printf '%s\n' "Package: egret" "Version: 0.0.1" "Architecture: arm64" "Maintainer: nobody <nobody@example.org>" "Depends: tree, adduser" \
    "Description: stands for egret" >"$cache/deb/DEBIAN/control"
  printf '#!/bin/sh\nset -e\nadduser --quiet --system --group egret\nuname -m >/etc/egret/installed-on\n%s\n' \
    "invoke-rc.d --disclose-deny egret start && touch /etc/egret/was-started || true" >"$cache/deb/DEBIAN/postinst"
  chmod +x "$cache/deb/DEBIAN/postinst"
  printf '[Service]\nExecStart=/usr/bin/tree\n[Install]\nWantedBy=multi-user.target\n' >"$cache/deb/usr/lib/systemd/system/egret.service"
  dpkg-deb --root-owner-group --build "$cache/deb" "$deb" >/dev/null
fi

ssh-keygen -q -t ed25519 -N '' -f "$cache/key" <<<y >/dev/null
mkdir -p "$cache/set/credentials"
printf 'format=1\ndevice=gate-north\n' >"$cache/set/provision"
cp systemd/egret.toml "$cache/set/egret.toml"
echo secret >"$cache/set/credentials/mqtt"
cp "$cache/key.pub" "$cache/set/authorized_keys"
(cd "$cache/set" && sha256sum provision egret.toml credentials/mqtt authorized_keys >SHA256SUMS)

digest() { sha256sum <"$1" | cut -c1-64; }
prepare() {
  jetson/flash/prepare.sh --work "$work" --board orin-nano --jetpack 6.2.2 --bsp "$cache/bsp.tbz2" --rootfs "$cache/rootfs.tbz2" --deb "$deb" \
    --sha256 "bsp=$(digest "$cache/bsp.tbz2")" --sha256 "rootfs=$(digest "$cache/rootfs.tbz2")" --sha256 "deb=$(digest "$deb")" \
    --hostname cam-07 --user keeper --sudo nopassword --accept-nvidia-license --provision "$cache/set" --power-mode MAXN_SUPER \
    --min-free-gb 2
}
inside() { chroot "$rootfs" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C "$@"; }
none_mounted() { ! grep -q " $rootfs" /proc/self/mountinfo || fail "something is still mounted in $rootfs"; }

# Killed while apt is at work: nothing stays mounted, nothing is taken for done.
setsid bash -c "$(declare -f prepare digest); cache=$cache work=$work deb=$deb; prepare" >"$cache/killed.log" 2>&1 &
pid=$!
until [ -e "$rootfs/var/cache/apt/pkgcache.bin" ] && [ "$(cat "$work/state/rootfs")" = changing ]; do
  kill -0 "$pid" || fail "it ended before it could be killed: $(cat "$cache/killed.log")"
  sleep 0.2
done
kill -9 -- "-$pid"
wait "$pid" || true
[ ! -e "$work/prepared" ] || fail "killed, and said to be prepared"
none_mounted
ok "killed while apt was at work in it: nothing is mounted, nothing is prepared"

prepare | tee "$cache/first.log"
grep -q 'was interrupted, made anew' "$cache/first.log" || fail "the interrupted root file system was not made anew"
none_mounted
ok "prepared"

# shellcheck disable=SC2016 # for dpkg-query
[ "$(inside dpkg-query -W -f '${db:Status-Status}' egret)" = installed ] || fail "egret is not installed"
if [ -z "${EGRET_DEB:-}" ]; then
  [ "$(cat "$rootfs/etc/egret/installed-on")" = aarch64 ] || fail "maintainer scripts did not run as on the device"
  inside dpkg-query -W tree >/dev/null || fail "its dependency is not installed"
fi
[ ! -e "$rootfs/etc/egret/was-started" ] || fail "a service was started in the root file system"
[ ! -e "$rootfs/usr/sbin/policy-rc.d" ] || fail "the ban on services was left behind"
[ ! -e "$rootfs/run/egret.deb" ] || fail "left in /run: $(ls "$rootfs/run")"
ok "egret and what it needs are installed, no service was started"
[ "$(inside passwd -S keeper | cut -d' ' -f2)" = L ] || fail "the password is not locked"
cmp "$cache/key.pub" "$rootfs/home/keeper/.ssh/authorized_keys"
[ "$(inside stat -c '%U %a' /home/keeper/.ssh/authorized_keys)" = "keeper 600" ] || fail "authorized_keys has another owner or mode"
inside visudo -c -q || fail "sudo does not take its files"
# Asked as root: set-user-id programs gain nothing under emulation.
inside sudo -n -l -U keeper | grep -qF '(ALL) NOPASSWD: ALL' || fail "sudo would ask for a password"
ok "the user: password locked, key in place, sudo as asked for"
[ -z "$(find "$rootfs/etc/ssh" -name 'ssh_host_*')" ] || fail "host keys that devices would share"
inside sh -c 'ssh-keygen -A >/dev/null && mkdir -p /run/sshd && sshd -T' >"$cache/sshd.txt"
for line in "passwordauthentication no" "permitrootlogin no" "kbdinteractiveauthentication no"; do
  grep -qx "$line" "$cache/sshd.txt" || fail "sshd does not say: $line"
done
ok "sshd: keys only, no root; host keys are made on the device"
[ "$(inside stat -c '%U %G %a' /etc/egret/credentials/mqtt)" = "egret egret 600" ] || fail "the credential has another owner or mode"
for unit in egret-power-mode.service ssh.service; do
  said=$(inside systemd-analyze verify --man=no "$unit" 2>&1 | grep -F "$unit" || true)
  [ -z "$said" ] || fail "$said"
done
inside systemctl is-enabled egret-power-mode.service >/dev/null || fail "the power mode's unit is not enabled"
ok "settings: owners, units"

# The checks above made host keys; all else is as it was.
find "$work" -newer "$work/prepared" -type f ! -path '*/ssh_host_*' >"$cache/before.txt"
prepare >"$cache/second.log"
! grep -qE 'unpacking|packages|writing' "$cache/second.log" || fail "the second run did something: $(cat "$cache/second.log")"
find "$work" -newer "$work/prepared" -type f ! -path '*/ssh_host_*' | diff "$cache/before.txt" - || fail "the second run changed files"
ok "a second run changes nothing"
rm -rf --one-file-system "$work" "$cache/bsp" "$cache/deb" "$cache/set"
echo "flash: the preparation is good"
