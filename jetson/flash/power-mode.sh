#!/usr/bin/env bash
# Sets a Jetson's power mode by its name. The numbers differ from board to board (MAXN_SUPER is 2 on an Orin Nano and 0 on an
# Orin NX), the names are those of /etc/nvpmodel.conf. Runs on the device, as root. Does nothing when the mode is set already.
#
#   power-mode.sh NAME            set it; ends with 3 when a restart is needed first
#   power-mode.sh --configured    set the one that /etc/egret/power-mode names, with one restart if needed; none: nothing
#   power-mode.sh --list          the names
#   power-mode.sh --show          the one that is set
#   --dry-run                     as the first argument: print what would be run
#
# EGRET_FLASH_ROOT is a prefix of all files, for tests.
set -euo pipefail
root=${EGRET_FLASH_ROOT:-}
conf=$root/etc/nvpmodel.conf status=$root/var/lib/nvpmodel/status restarted=$root/var/lib/egret-power-mode
dry_run=''

stop() {
  printf 'power-mode: %s\n' "$1" >&2
  exit "${2:-1}"
}

# Lines of the form  < POWER_MODEL ID=2 NAME=MAXN_SUPER >  as "2 MAXN_SUPER".
modes() { sed -nE 's/^[[:space:]]*<[[:space:]]*POWER_MODEL[[:space:]]+ID=([0-9]+)[[:space:]]+NAME=([^[:space:]>]+).*/\1 \2/p' "$conf"; }
id_of() { modes | awk -v n="$1" '$2 == n { print $1; exit }'; }
name_of() { modes | awk -v i="$1" '$1 == i { print $2; exit }'; }
# The file says  pmode:0002 fmode:fanNull
current() {
  local id
  id=$(sed -nE 's/.*pmode:0*([0-9]+).*/\1/p' "$status" 2>/dev/null | head -n 1) || true
  [ -z "$id" ] || name_of "$id"
}

# set_mode NAME ANSWER: the answer goes to nvpmodel's question whether it may restart now.
set_mode() {
  local id said
  id=$(id_of "$1")
  [ -n "$id" ] || stop "$1: this device has no such power mode; it has: $(modes | cut -d' ' -f2 | paste -sd' ')"
  if [ "$(current)" = "$1" ]; then
    echo "power mode: $1, as it was"
    return
  fi
  if [ -n "$dry_run" ]; then
    echo "+ nvpmodel -m $id   # $1"
    return
  fi
  said=$(nvpmodel -m "$id" <<<"$2" 2>&1) || true
  if [ "$(current)" = "$1" ]; then
    echo "power mode: $1"
  elif [[ $said == *[Rr]eboot* ]]; then
    [ "$2" = yes ] || stop "$1: needs a restart. To do it now: nvpmodel -m $id, and answer yes" 3
    echo "power mode: $1, with a restart"
  else
    stop "$1: nvpmodel -m $id did not set it: $said"
  fi
}

configured() {
  local name
  name=$(cat "$root/etc/egret/power-mode" 2>/dev/null) || return 0
  [ -n "$name" ] || return 0
  # One restart for each name, so that a mode that never comes does not restart the device for ever.
  if [ "$(cat "$restarted" 2>/dev/null)" = "$name" ]; then
    set_mode "$name" no
  else
    if [ -z "$dry_run" ] && [ "$(current)" != "$name" ]; then
      mkdir -p "$(dirname "$restarted")"
      printf '%s\n' "$name" >"$restarted"
    fi
    set_mode "$name" yes
  fi
}

if [ "${1:-}" = --dry-run ]; then
  dry_run=1
  shift
fi
[ $# -eq 1 ] || stop "one argument: a name, --configured, --list or --show" 2
case $1 in
  -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit ;;
esac
[ -e "$conf" ] || stop "$conf is missing: not a Jetson, or its services have not started yet"
case $1 in
  --list) modes | cut -d' ' -f2 ;;
  --show) current ;;
  --configured) configured ;;
  -*) stop "$1: unknown option" 2 ;;
  *[!0-9]*) set_mode "$1" no ;;
  *) stop "$1: by name, since the numbers differ from board to board; this one has: $(modes | cut -d' ' -f2 | paste -sd' ')" 2 ;;
esac
