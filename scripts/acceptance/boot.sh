#!/usr/bin/env bash
# Acceptance: the packages under a real systemd. Boots a Debian 12 in a container, installs them, and shows what docs/install.md promises:
# scripts/acceptance/inside/*.sh, in the order of their numbers, or those that are named.
#   scripts/acceptance/boot.sh [NUMBER…]
# As root, with systemd-container and mmdebstrap. Without PID 1 being systemd here it works too. EGRET_ACCEPTANCE_BINARY: see packages.sh.
# EGRET_ACCEPTANCE_OLDER: a package of egret that was built of an earlier commit, which the upgrade then starts from.
# shellcheck disable=SC2317 # functions are called through others
set -euo pipefail
cd "$(dirname "$0")/../.."
here=target/acceptance
[ "$(id -u)" -eq 0 ] || { echo "boot.sh: run it as root" >&2; exit 1; }
for tool in systemd-nspawn nsenter dpkg-deb; do
  command -v $tool >/dev/null || { echo "boot.sh: $tool is missing (packages systemd-container, util-linux, dpkg)" >&2; exit 1; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/egret-boot.XXXXXX")
nspawn='' leader=''
inside() { nsenter -t "$leader" -m -u -i -n -p -C --root --wd -- "$@"; }
down() {
  if [ -n "$nspawn" ] && kill -0 "$nspawn" 2>/dev/null; then
    if [ -n "$leader" ]; then inside /bin/systemctl poweroff 2>/dev/null || true; fi
    for _ in $(seq 100); do kill -0 "$nspawn" 2>/dev/null || break; sleep 0.2; done
    kill "$nspawn" 2>/dev/null || true
    wait "$nspawn" 2>/dev/null || true
  fi
  mountpoint -q "$work/root" && umount "$work/root"
  rm -rf --one-file-system "$work"
}
trap down EXIT
trap 'exit 1' INT TERM HUP

# Packages that are there already are taken if asked: while a script is being written.
[ -n "${EGRET_ACCEPTANCE_KEEP:-}" ] || scripts/acceptance/packages.sh "$here/packages"
scripts/acceptance/root.sh "$here"/packages/*.deb

# Versions before and after this one, made of it where there is no other: a version that is older; one with another sample configuration;
# and one in whose program a key has another name, which stands for every version that refuses what an earlier one took.
mkdir -p "$work/debs" "$work/root" "$work/upper" "$work/work"
version=$(dpkg-deb --field "$here"/packages/egret_*.deb Version)
variant() {
  local number=$1 tree=$work/variant
  shift
  rm -rf "$tree"
  dpkg-deb --raw-extract "$of" "$tree"
  sed -i "s/^Version: .*/Version: $number/" "$tree/DEBIAN/control"
  "$@" "$tree"
  rm -f "$tree/DEBIAN/md5sums"
  dpkg-deb --root-owner-group -Zgzip -z1 --build "$tree" "$work/debs/egret_$number.deb" >/dev/null
}
same() { :; }
other_sample() { printf '\n# A line that a newer version brings.\n' >>"$1/etc/egret/egret.toml"; }
renamed_key() { LC_ALL=C sed -i 's/track_update_interval/track_update_intervai/g' "$1/usr/bin/egret"; }
of=${EGRET_ACCEPTANCE_OLDER:-$(echo "$here"/packages/egret_*.deb)}
[ -e "$of" ] || { echo "boot.sh: EGRET_ACCEPTANCE_OLDER: there is no $of" >&2; exit 1; }
echo "the older version: $of, $(dpkg-deb --fsys-tarfile "$of" | tar -xO ./usr/bin/egret | sha256sum | cut -c1-12)"
variant "$version~older" same
of=$(echo "$here"/packages/egret_*.deb)
echo "this version: $of, $(dpkg-deb --fsys-tarfile "$of" | tar -xO ./usr/bin/egret | sha256sum | cut -c1-12)"
cp "$here"/packages/egret_*.deb "$work/debs/egret_$version.deb"
variant "$version+newer" other_sample
variant "$version+renamed" renamed_key
cp "$here"/packages/egret-demo_*.deb "$work/debs/egret-demo.deb"
rm -rf "$work/variant"

# The root stays as it is: what a boot writes is in a layer over it.
if ! mount -t overlay overlay -o "lowerdir=$PWD/$here/root,upperdir=$work/upper,workdir=$work/work" "$work/root" 2>/dev/null; then
  cp -a "$here/root/." "$work/root/"
fi
mkdir -p "$work/root/acceptance"
cp -a scripts/acceptance/inside "$work/root/acceptance/"
mv "$work/debs" "$work/root/acceptance/"
cp -a models/street "$work/root/acceptance/"
echo "$version" >"$work/root/acceptance/version"

systemd-nspawn -q -D "$work/root" -b --register=no --keep-unit --link-journal=no --resolv-conf=off --private-network \
  -M "egret-acceptance-$$" </dev/null >"$work/console" 2>&1 &
nspawn=$!
for _ in $(seq 600); do
  leader=$(pgrep -P $nspawn | head -n 1) || true
  if [ -n "$leader" ] && inside /bin/systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; then break; fi
  kill -0 $nspawn 2>/dev/null || { cat "$work/console"; echo "boot.sh: the container ended" >&2; exit 1; }
  sleep 0.2
done
[ -n "$leader" ] || { cat "$work/console"; echo "boot.sh: the container did not boot" >&2; exit 1; }
echo "booted: $(inside /bin/systemctl --version | head -n 1)"

failed=0
for script in scripts/acceptance/inside/[0-9]*.sh; do
  name=${script##*/}
  if [ $# -gt 0 ]; then case " $* " in *" ${name%%-*} "*) ;; *) continue ;; esac; fi
  started=$SECONDS
  echo "== $name"
  # A script that waits for ever has a fault. What is set out here, as ORT_DYLIB_PATH, is nothing to the machine in there.
  if ! timeout --foreground 900 nsenter -t "$leader" -m -u -i -n -p -C --root --wd -- /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/root LANG=C.UTF-8 /bin/bash "/acceptance/inside/$name" </dev/null; then
    echo "FAILED $name"
    failed=1
    # Without the installation the others show nothing.
    case $name in 10-*) break ;; esac
  fi
  echo "== $name: $((SECONDS - started)) s"
done
if [ $failed -ne 0 ]; then
  mkdir -p "$here"
  inside /bin/journalctl -b --no-pager >"$here/journal" 2>/dev/null || true
  echo "boot.sh: FAILED; the container's journal is in $here/journal" >&2
fi
exit $failed
