#!/usr/bin/env bash
# Builds the Debian packages egret and egret-demo into target/packages/, from binaries that cargo builds here, or from given ones.
#   scripts/package.sh [OPTION…]
#     --target TRIPLE      for another machine: aarch64-unknown-linux-gnu (scripts/cross.sh sets up what that needs)
#     --profile PROFILE    of cargo; default: release
#     --egret FILE         this binary instead of building one: the device build, --no-default-features --features tensorrt
#     --egret-demo FILE    likewise: the build with default features
#     --manual FILE        program that writes man pages and completions where the binaries do not run here; default: they themselves
#     --version VERSION    default: that of Cargo.toml
#     --out DIR            default: target/packages
#     --fast               compressed little: for tests
# Debian packages needed: debhelper dpkg-dev (and for another machine its binutils and C library, e.g. crossbuild-essential-arm64).
set -euo pipefail
cd "$(dirname "$0")/.."
target='' profile=release egret='' demo='' manual='' out=target/packages fast=
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
show_help() { sed -n '2,/^# Debian/s/^# \{0,1\}//p' "$0"; }
wrong() { echo "package: $* (see scripts/package.sh --help)" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --fast) fast=1 && shift && continue ;;
    --help) show_help && exit ;;
    --*) case ${2:---} in --*) wrong "$1: unknown, or its value is missing" ;; esac ;;
  esac
  case $1 in
    --target) target=$2 ;;
    --profile) profile=$2 ;;
    --egret) egret=$2 ;;
    --egret-demo) demo=$2 ;;
    --manual) manual=$2 ;;
    --version) version=$2 ;;
    --out) out=$2 ;;
    *) wrong "$1: unknown" ;;
  esac
  shift 2
done
for file in "$egret" "$demo" "$manual"; do [ -z "$file" ] || [ -f "$file" ] || wrong "$file: no such file"; done
[[ $version =~ ^[0-9][A-Za-z0-9.+~]*$ ]] || wrong "--version $version: a Debian version begins with a digit, then letters, digits and . + ~"
case $target in
  '') architecture=$(dpkg --print-architecture) ;;
  aarch64-unknown-linux-gnu) architecture=arm64 ;;
  x86_64-unknown-linux-gnu) architecture=amd64 ;;
  *) echo "package: no Debian architecture is known for $target" >&2; exit 2 ;;
esac
for tool in dh dpkg-buildpackage; do
  command -v $tool >/dev/null || { echo "package: $tool is missing: apt-get install debhelper dpkg-dev" >&2; exit 1; }
done

# Where cargo puts things.
built=${CARGO_TARGET_DIR:-target}${target:+/$target}/$([ "$profile" = dev ] && echo debug || echo "$profile")/egret
build() { cargo build --locked --profile "$profile" ${target:+--target "$target"} --package egret "$@"; }
stage=target/deb/egret-$architecture
rm -rf "$stage"
mkdir -p "$stage/manual" "$out"
if [ -z "$demo" ]; then
  build
  demo=$built
fi
install -m 755 "$demo" "$stage/egret-demo"
if [ -z "$egret" ]; then
  scripts/tensorrt-headers.sh
  build --no-default-features --features tensorrt
  egret=$built
fi
install -m 755 "$egret" "$stage/egret"

# JetPack 6 is Ubuntu 22.04: a binary that was linked against a newer C library's functions would not start there.
for binary in egret egret-demo; do
  needs=$(LC_ALL=C readelf --version-info --wide "$stage/$binary" | grep -oE 'GLIBC_[0-9]+\.[0-9.]+' | sort -Vu | tail -n 1)
  [ "$(printf '%s\nGLIBC_2.35\n' "$needs" | sort -V | tail -n 1)" = GLIBC_2.35 ] ||
    { echo "package: $binary needs $needs; JetPack 6 (Ubuntu 22.04) has GLIBC_2.35" >&2; exit 1; }
done
for binary in egret egret-demo; do
  "${manual:-$stage/$binary}" manual --name "$binary" "$stage/manual/$binary"
done
# A build that has the demo, in tests, has this page for its command; it is the name of the other package's program.
rm -f "$stage/manual/egret/man/egret-demo.1"

cp -a systemd README.md "$stage/"
mkdir "$stage/docs"
cp docs/install.md "$stage/docs/"
cp -a systemd/debian "$stage/debian"
cp systemd/egret.service "$stage/debian/egret.service"
cp systemd/egret@.service "$stage/debian/egret.egret@.service"
cp systemd/egret-engine-build.service "$stage/debian/egret.egret-engine-build.service"
cp systemd/sysusers.d/egret.conf "$stage/debian/egret.sysusers"
cp systemd/tmpfiles.d/egret.conf "$stage/debian/egret.tmpfiles"
cp CHANGELOG.md "$stage/CHANGELOG.md"
mkdir "$stage/debian/source"
echo '3.0 (native)' >"$stage/debian/source/format"
# The day of the last commit, so that the same commit gives the same packages.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
cat >"$stage/debian/changelog" <<END
egret ($version) unstable; urgency=medium

  * See /usr/share/doc/egret/README.md and the CHANGELOG.md of the sources.

 -- egret maintainers <egret-vision@users.noreply.github.com>  $(LC_ALL=C date -R -d "@$SOURCE_DATE_EPOCH")
END
if [ -n "$fast" ]; then
  printf '\noverride_dh_builddeb:\n\tdh_builddeb -- -Zgzip -z1\n' >>"$stage/debian/rules"
  export DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS:-} noautodbgsym"
else
  # JetPack 6's dpkg reads zstd, Debian 11's does not; xz is read by all.
  printf '\noverride_dh_builddeb:\n\tdh_builddeb -- -Zxz\n' >>"$stage/debian/rules"
fi
log=$stage.log
(cd "$stage" && DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS:-} noautodbgsym" dpkg-buildpackage --build=binary --no-sign \
  ${target:+--host-arch "$architecture" -d}) >"$log" 2>&1 || { tail -n 40 "$log" >&2; exit 1; }
for package in egret egret-demo; do
  deb=${package}_${version}_$architecture.deb
  # What a mistake leaves out without a word.
  case $package in
    egret) wanted='usr/bin/egret systemd/system/egret.service systemd/system/egret@.service systemd/system/egret-engine-build.service
      sysusers.d/egret.conf tmpfiles.d/egret.conf etc/egret/egret.toml man1/egret.1.gz man5/egret.toml.5.gz completions/egret' ;;
    egret-demo) wanted='usr/bin/egret-demo man1/egret-demo.1.gz' ;;
  esac
  listing=$(dpkg-deb --contents "target/deb/$deb")
  for file in $wanted; do
    case $listing in *"$file"*) ;; *) echo "package: $deb lacks $file" >&2; exit 1 ;; esac
  done
  mv "target/deb/$deb" "$out/"
  echo "$out/$deb"
done
