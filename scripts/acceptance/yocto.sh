#!/usr/bin/env bash
# The layer with the real BitBake and kas, as far as it goes without a build: kas sets up each board, everything parses, boards get TensorRT,
# every name that the image needs exists, the daemon's sources and crates unpack without a network and are what the list says.
#   scripts/acceptance/yocto.sh [BOARD…]             names of yocto/kas; default: orin-nano-nvme orin-nx agx-orin thor
# Takes 40 minutes of two cores and 0.6 GB in EGRET_YOCTO_WORK (default: target/yocto). BitBake refuses root: then it runs as nobody.
# EGRET_YOCTO_SOURCES: folders with the layers' repositories in place of their addresses, one per line: `NAME FOLDER`.
# EGRET_CHECK_LAYER=1: yocto-check-layer too, half an hour more.
# Debian: gawk wget diffstat unzip texinfo chrpath cpio xz-utils python3-git python3-jinja2 python3-subunit python3-websockets python3-venv zstd lz4
# file locales socat iputils-ping gcc g++ make rpcsvc-proto busybox-static, and the locale en_US.UTF-8.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"
work=$(realpath -m "${EGRET_YOCTO_WORK:-target/yocto}")
mkdir -p "$work"
# Of the system's Python: another one may be in a home that nobody may enter.
python=$(PATH=/usr/sbin:/usr/bin:/sbin:/bin EGRET_YOCTO_VENV="$work/venv" scripts/yocto-venv.sh)
say() { printf '\n== %s\n' "$*"; }
give_up() { echo "yocto: $*" >&2; exit 1; }

# The layers at the commits of yocto/kas/common.yml: NAME URL COMMIT.
pins() {
  awk '/^  [a-z-]+:$/ { name = $1; sub(":", "", name) } $1 == "url:" { url = $2 } $1 == "commit:" { print name, url, $2 }' yocto/kas/common.yml
}
while read -r name url commit; do
  from=$(awk -v n="$name" '$1 == n { print $2 }' <<<"${EGRET_YOCTO_SOURCES:-}")
  git=(git -c safe.directory='*')
  [ -d "$work/$name" ] || "${git[@]}" clone --quiet --no-checkout "${from:-$url}" "$work/$name"
  git+=(-C "$work/$name")
  "${git[@]}" cat-file -e "$commit" || "${git[@]}" fetch --quiet "${from:-$url}" "$commit"
  "${git[@]}" -c advice.detachedHead=false checkout --quiet "$commit"
  say "$name $("${git[@]}" log -1 --format='%h %cs %s')"
done < <(pins)

# A checkout of what is committed here: what BitBake builds is a commit.
rm -rf "$work/egret"
git clone --quiet --shared "$top" "$work/egret"
say "egret $(git -C "$work/egret" log -1 --format='%h %cs %s')"
[ -e "$work/keys/ca.pem" ] || yocto/update-keys.sh "$work/keys" >/dev/null
mkdir -p "$work/dl"
cp "${CARGO_HOME:-$HOME/.cargo}"/registry/cache/*/*.crate "$work/dl/" 2>/dev/null || true
for crate in "$work"/dl/*.crate; do touch "$crate.done"; done

# Beside a board's file: no network.
settings() { # NAME LINE…
  printf 'header:\n  version: 17\nlocal_conf_header:\n  %s: |\n' "$1" >"$work/egret/yocto/kas/$1.yml"
  printf '    %s\n' "${@:2}" >>"$work/egret/yocto/kas/$1.yml"
}
settings offline 'BB_NO_NETWORK = "1"' 'CONNECTIVITY_CHECK_URIS = ""' "DL_DIR = \"$work/dl\"" "BB_NUMBER_PARSE_THREADS = \"${EGRET_YOCTO_THREADS:-2}\""

as=()
if [ "$(id -u)" -eq 0 ]; then
  # The clone shares objects with this checkout, which nobody has to be able to read.
  chown -R nobody "$work"
  as=(setpriv --reuid nobody --clear-groups)
fi
environment=(PATH="${python%/*}:/usr/sbin:/usr/bin:/sbin:/bin" LANG=en_US.UTF-8 HOME="$work" USER=nobody
  EGRET_UPDATE_CA="$work/keys/ca.pem" SWUPDATE_CMS_CERT="$work/keys/signer.pem" SWUPDATE_CMS_KEY="$work/keys/signer.key"
  KAS_WORK_DIR="$work" KAS_BUILD_DIR="$work/build")
# files NAME:NAME…: of yocto/kas, as kas takes them.
files() {
  local names
  IFS=: read -ra names <<<"$1"
  local paths=("${names[@]/#/$work/egret/yocto/kas/}")
  (IFS=: && echo "${paths[*]/%/.yml}")
}
# on NAME:NAME… COMMANDS: in the environment that kas makes of these files.
on() {
  "${as[@]}" env -i "${environment[@]}" kas --log-level warning shell "$(files "$1")" \
    -c "set -e; export LANG=en_US.UTF-8; $2"
}
# What BitBake made of a variable, from a file that `bitbake -e` wrote.
want() { # FILE VARIABLE PATTERN
  local got
  got=$(sed -n "s/^\(export \)\?$2=\"\(.*\)\"$/\2/p" "$work/build/$1")
  echo "$2 = $got"
  grep -qE -- "$3" <<<"$got" || give_up "$2 is not $3"
}
listed() { grep -qx "$1" "$work/build/pn-buildlist" || give_up "$1 is not in the image's recipes"; }
not_listed() { ! grep -x "$1" "$work/build/pn-buildlist" || give_up "$1 is in the image's recipes"; }

boards=("$@")
[ $# -gt 0 ] || boards=(orin-nano-nvme orin-nx agx-orin thor)
for board in "${boards[@]}" software-decoders; do
  say "kas dump $board"
  file=$board
  [ "$board" != software-decoders ] || file=${boards[0]}:software-decoders
  "${as[@]}" env -i "${environment[@]}" kas --log-level warning dump "$(files "$file")" | grep -E '^(machine|distro|target):|commercial'
done

for board in "${boards[@]}"; do
  say "$board: bitbake -p; bitbake -e egret; bitbake -g egret-image egret-update-bundle"
  on "$board:offline" 'bitbake -p; bitbake -e egret >egret.env; bitbake -e systemd >systemd.env
    bitbake -g egret-image egret-update-bundle'
  want egret.env PACKAGECONFIG_CONFARGS '--features tensorrt'
  want egret.env DEPENDS 'tensorrt-core'
  want egret.env PACKAGE_ARCH '_tegra$'
  want systemd.env PACKAGECONFIG ' networkd '
  ! grep -E '^PACKAGECONFIG=.*[" ]timesyncd' "$work/build/systemd.env" || give_up "systemd-timesyncd beside chrony"
  want egret.env INHERIT '(^| )create-spdx( |$)'
  sort -u "$work/build/pn-buildlist" | wc -l | sed 's/$/ recipes/'
  for name in egret-clock chrony egret-swupdate-config swupdate tegra-uefi-capsules qemu-native; do listed $name; done
  for name in ffmpeg gstreamer1.0-libav libx11 wayland; do not_listed $name; done
  if [ "$board" = "${boards[0]}" ]; then
    say "$board: bitbake -c unpack egret"
    on "$board:offline" 'bitbake -c cleansstate egret >cleansstate.log; bitbake -c unpack egret'
  fi
done

say "${boards[0]} with software decoders: bitbake -g egret-image"
on "${boards[0]}:software-decoders:offline" 'bitbake -g egret-image'
listed ffmpeg
listed gstreamer1.0-libav

if command -v busybox >/dev/null; then
  say "the scripts of the layer with BusyBox's applets, as on the image"
  EGRET_TEST_BUSYBOX=$(command -v busybox) python3 -m unittest discover -s yocto/tests -p 'test_[ps]*.py'
fi

if [ -n "${EGRET_CHECK_LAYER:-}" ]; then
  # It adds the layer itself, so its distribution cannot be the one in force.
  say "yocto-check-layer"
  rm -rf "$work/check"
  mkdir -p "$work/check/conf"
  # shellcheck disable=SC2016 # BitBake's
  settings=('BBPATH = "${TOPDIR}"' 'INIT_MANAGER = "systemd"' 'DISTRO_FEATURES:append = " opengl pam"')
  layers=("$work/openembedded-core/meta" "$work/meta-openembedded"/meta-{oe,python,networking} "$work/meta-tegra" "$work/meta-swupdate")
  printf '%s\nBBLAYERS = "%s"\n' "${settings[0]}" "${layers[*]}" >"$work/check/conf/bblayers.conf"
  grep -vE '^DISTRO\b' "$work/build/conf/local.conf" >"$work/check/conf/local.conf"
  printf '%s\n' "${settings[@]:1}" >>"$work/check/conf/local.conf"
  [ "$(id -u)" -ne 0 ] || chown -R nobody "$work/check"
  # shellcheck disable=SC2016 # expanded in there
  "${as[@]}" env -i "${environment[@]}" BB_ENV_PASSTHROUGH_ADDITIONS='EGRET_UPDATE_CA SWUPDATE_CMS_CERT SWUPDATE_CMS_KEY' bash -c '
    cd "$1"; . openembedded-core/oe-init-build-env check bitbake >/dev/null
    exec yocto-check-layer "$1/egret/yocto/meta-egret" --dependency "$1/meta-tegra" "$1/meta-swupdate" "$1"/meta-openembedded/meta-{oe,python,networking} \
      --no-auto-dependency' _ "$work"
fi
say "done"
