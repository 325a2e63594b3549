#!/usr/bin/env bash
# Which Jetson this is: module, chip, Jetson Linux and JetPack, power mode, A/B, as lines KEY=VALUE. Runs on the device, reads
# files only (and asks nvbootctrl, as root), changes nothing. Ends with 1 on a machine that is no Jetson.
#   detect.sh           EGRET_FLASH_ROOT is a prefix of all files, for tests.
set -euo pipefail
root=${EGRET_FLASH_ROOT:-}

if [ $# -gt 0 ]; then
  [ "$1" != --help ] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit; }
  echo "detect: $1: it takes no arguments (see detect.sh --help)" >&2
  exit 2
fi

# Properties of the device tree end with a zero byte, and `compatible` has one after each of its names.
property() { [ ! -r "$root/proc/device-tree/$1" ] || tr '\0' '\n' <"$root/proc/device-tree/$1"; }

# The first pattern that fits: names are most specific first.
module_of() {
  case $1 in
    *p3767-0000* | *p3767-0002*) echo "Jetson Orin NX 16GB|orin-nx" ;;
    *p3767-0001*) echo "Jetson Orin NX 8GB|orin-nx" ;;
    *p3767-0003*) echo "Jetson Orin Nano 8GB|orin-nano" ;;
    *p3767-0004*) echo "Jetson Orin Nano 4GB|orin-nano" ;;
    *p3767-0005*) echo "Jetson Orin Nano 8GB (developer kit)|orin-nano" ;;
    *p3701-0000*) echo "Jetson AGX Orin (developer kit)|agx-orin" ;;
    *p3701-0004*) echo "Jetson AGX Orin 32GB|agx-orin" ;;
    *p3701-0005*) echo "Jetson AGX Orin 64GB|agx-orin" ;;
    *p3701-0008*) echo "Jetson AGX Orin Industrial|agx-orin" ;;
    *p3834-0008*) echo "Jetson Thor T5000|agx-thor" ;;
    *p3834-0000*) echo "Jetson Thor T4000|agx-thor" ;;
    *) echo "unknown|unknown" ;;
  esac
}

jetpack_of() {
  case $1 in
    39.2.1) echo 7.2.1 ;;
    39.2.*) echo 7.2 ;;
    38.4.*) echo 7.1 ;;
    38.2.*) echo 7.0 ;;
    36.5.0) echo 6.2.2 ;;
    36.4.4 | 36.4.7) echo 6.2.1 ;;
    36.4.3) echo 6.2 ;;
    36.4.0) echo 6.1 ;;
    36.3.0) echo 6.0 ;;
    35.6.4) echo 5.1.6 ;;
    35.*) echo 5.1 ;;
    *) echo unknown ;;
  esac
}

compatible=$(property compatible | paste -sd' ')
case $compatible in
  *tegra234*) chip=t234 ;;
  *tegra264*) chip=t264 ;;
  *tegra*) chip=other ;;
  *)
    echo "detect: no Jetson: $root/proc/device-tree/compatible says '${compatible:-nothing}'" >&2
    exit 1
    ;;
esac
# # R36 (release), REVISION: 5.0, GCID: …
release=$(sed -nE 's/^# R([0-9]+) \(release\), REVISION: ([0-9.]+),.*/\1.\2/p' "$root/etc/nv_tegra_release" 2>/dev/null | head -n 1) || true
IFS='|' read -r module board < <(module_of "$compatible")

# The exit status of nvbootctrl is the answer: 0 off, 1 on and in slot A, 2 on and in slot B.
ab=unknown
if command -v nvbootctrl >/dev/null; then
  answer=0
  nvbootctrl -t rootfs is-rootfs-ab-enabled >/dev/null 2>&1 || answer=$?
  case $answer in 0) ab=off ;; 1) ab=A ;; 2) ab=B ;; esac
fi

mode=''
id=$(sed -nE 's/.*pmode:0*([0-9]+).*/\1/p' "$root/var/lib/nvpmodel/status" 2>/dev/null | head -n 1) || true
if [ -n "$id" ]; then
  modes=$(sed -nE 's/^[[:space:]]*<[[:space:]]*POWER_MODEL[[:space:]]+ID=([0-9]+)[[:space:]]+NAME=([^[:space:]>]+).*/\1 \2/p' \
    "$root/etc/nvpmodel.conf" 2>/dev/null || true)
  mode=$(awk -v i="$id" '$1 == i { print $2; exit }' <<<"$modes")
fi

printf '%s\n' "model=$(property model | head -n 1)" "compatible=$compatible" "module=$module" "board=$board" "chip=$chip" \
  "release=${release:-unknown}" "jetpack=$(jetpack_of "${release:-unknown}")" "power_mode=${mode:-unknown}" "rootfs_ab=$ab"
