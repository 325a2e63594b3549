#!/usr/bin/env bash
# The layer with the real BitBake, as far as it goes without a build: everything parses, boards get TensorRT, every name that the image
# needs exists, the daemon's sources and crates unpack without a network and are what the list says.
#   scripts/acceptance/yocto.sh [MACHINE…]           default: the four boards of yocto/kas
# Takes 10 to 20 minutes of two cores and 0.6 GB in EGRET_YOCTO_WORK (default: target/yocto). BitBake refuses root: then it runs as nobody.
# EGRET_YOCTO_SOURCES: folders with the layers' repositories in place of their addresses, one per line: `NAME FOLDER`.
# EGRET_CHECK_LAYER=1: yocto-check-layer too, 10 minutes more.
# Debian: gawk wget diffstat unzip texinfo chrpath cpio xz-utils python3-git python3-jinja2 python3-subunit python3-websockets zstd lz4 file
# locales socat iputils-ping gcc g++ make rpcsvc-proto busybox-static, and the locale en_US.UTF-8.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"
work=$(realpath -m "${EGRET_YOCTO_WORK:-target/yocto}")
mkdir -p "$work"
say() { printf '\n== %s\n' "$*"; }

# The layers at the commits of yocto/kas/common.yml: NAME URL COMMIT.
pins() {
  awk '/^  [a-z-]+:$/ { name = $1; sub(":", "", name) } $1 == "url:" { url = $2 } $1 == "commit:" { print name, url, $2 }' yocto/kas/common.yml
}
while read -r name url commit; do
  from=$(awk -v n="$name" '$1 == n { print $2 }' <<<"${EGRET_YOCTO_SOURCES:-}")
  [ -d "$work/$name" ] || git -c safe.directory='*' clone --quiet --no-checkout "${from:-$url}" "$work/$name"
  git -c safe.directory='*' -C "$work/$name" cat-file -e "$commit" || git -c safe.directory='*' -C "$work/$name" fetch --quiet
  git -c safe.directory='*' -C "$work/$name" -c advice.detachedHead=false checkout --quiet "$commit"
  say "$name $(git -c safe.directory='*' -C "$work/$name" log -1 --format='%h %cs %s')"
done < <(pins)

# A checkout of what is committed here: what BitBake builds is a commit.
rm -rf "$work/egret"
git clone --quiet --shared "$top" "$work/egret"
[ -e "$work/keys/ca.pem" ] || yocto/update-keys.sh "$work/keys" >/dev/null
mkdir -p "$work/build/conf" "$work/dl" "$work/home"
cp "${CARGO_HOME:-$HOME/.cargo}"/registry/cache/*/*.crate "$work/dl/" 2>/dev/null || true
for crate in "$work"/dl/*.crate; do touch "$crate.done"; done
cat >"$work/build/conf/bblayers.conf" <<X
BBPATH = "\${TOPDIR}"
BBLAYERS = "$work/openembedded-core/meta $work/meta-openembedded/meta-oe $work/meta-tegra $work/meta-swupdate $work/egret/yocto/meta-egret"
X
cat >"$work/build/conf/local.conf" <<X
DISTRO = "egret-appliance"
MACHINE ?= "jetson-orin-nano-devkit-nvme"
CONF_VERSION = "2"
BB_NO_NETWORK = "1"
CONNECTIVITY_CHECK_URIS = ""
DL_DIR = "$work/dl"
BB_NUMBER_PARSE_THREADS = "${EGRET_YOCTO_THREADS:-2}"
EGRET_UPDATE_CA = "$work/keys/ca.pem"
SWUPDATE_CMS_CERT = "$work/keys/signer.pem"
SWUPDATE_CMS_KEY = "$work/keys/signer.key"
X

as=()
if [ "$(id -u)" -eq 0 ]; then
  # The clone shares objects with this checkout, which nobody has to be able to read.
  chown -R nobody "$work"
  as=(setpriv --reuid nobody --clear-groups)
fi
# bb COMMAND…: in BitBake's environment, with the system's Python.
# shellcheck disable=SC2016 # expanded in there
bb() {
  "${as[@]}" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=en_US.UTF-8 HOME="$work/home" USER=nobody GIT_CONFIG_COUNT=1 \
    GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' ${MACHINE:+MACHINE="$MACHINE"} bash -c '
    cd "$1"; shift; . openembedded-core/oe-init-build-env build bitbake >/dev/null; exec nice -n 19 "$@"' _ "$work" "$@"
}
# want VARIABLE PATTERN: what BitBake makes of it for the recipe egret.
want() {
  local got
  got=$(bb bitbake-getvar -r egret --value "$1" | tail -n 1)
  echo "$1 = $got"
  grep -qE -- "$2" <<<"$got" || { echo "yocto: $1 is not $2" >&2; exit 1; }
}

if command -v busybox >/dev/null; then
  say "the scripts of the layer with BusyBox's applets, as on the image"
  EGRET_TEST_BUSYBOX=$(command -v busybox) python3 -m unittest discover -s yocto/tests -p 'test_[ps]*.py'
fi

say "bitbake -p"
bb bitbake -p

machines=("$@")
if [ $# -eq 0 ]; then mapfile -t machines < <(awk '$1 == "machine:" { print $2 }' yocto/kas/*.yml); fi
for MACHINE in "${machines[@]}"; do
  say "$MACHINE: bitbake -e egret"
  want PACKAGECONFIG_CONFARGS '--features tensorrt'
  want DEPENDS 'tensorrt-core'
  want PACKAGE_ARCH '_tegra$'
  say "$MACHINE: bitbake -g egret-image egret-update-bundle"
  bb bitbake -g egret-image egret-update-bundle
  sort -u "$work/build/pn-buildlist" | wc -l | sed 's/$/ recipes/'
  grep -qx egret-swupdate-config "$work/build/pn-buildlist"
done

say "bitbake -c unpack egret, without a network"
bb bitbake -c cleansstate egret >/dev/null
bb bitbake -c unpack egret
if [ -n "${EGRET_CHECK_LAYER:-}" ]; then
  say "yocto-check-layer"
  # It adds the layer itself.
  sed -i "s| $work/egret/yocto/meta-egret||" "$work/build/conf/bblayers.conf"
  bb yocto-check-layer "$work/egret/yocto/meta-egret" --dependency "$work/meta-tegra" "$work/meta-swupdate" "$work/meta-openembedded/meta-oe" --no-auto-dependency
fi
say "done"
