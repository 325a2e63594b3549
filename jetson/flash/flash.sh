#!/usr/bin/env bash
# Flashes the one board that is attached in recovery mode with what prepare.sh made. IT ERASES THE BOARD'S STORAGE.
# Run as root on the machine with the work folder; nothing of it may be a virtual machine.
#
#   flash.sh --work DIR --yes [OPTIONS]
#
#   --label NAME         which device this is, when several are flashed from one folder (default: device)
#   --again              flash a label that is flashed already
#   --erase-all          erase all of the board's storage first, also what the new layout does not use; can take long
#   --retries N          with A/B: how often a slot may fail to start before the other is taken (3)
#   --min-free-gb N      refuse with less free disk (20, with A/B 40): the images are made beside the root file system
#   --yes                really flash; without it, what would be done is printed and refused
#   --dry-run            print what would be done, board or not. Ends with 3 when it would be refused.
#
# After an interruption: put the board into recovery mode again and run this again; it begins from the start.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

work='' label=device again='' erase_all='' retries=3 min_free='' yes=''

arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --help) print_help "$0"; exit 0 ;;
      --dry-run) dry_run=1; shift; continue ;;
      --yes) yes=1; shift; continue ;;
      --again) again=1; shift; continue ;;
      --erase-all) erase_all=1; shift; continue ;;
    esac
    [ $# -ge 2 ] || usage_error "$1: unknown, or its value is missing"
    case $1 in
      --work) work=$(realpath -m "$2") ;;
      --label) label=$2 ;;
      --retries) retries=$2 ;;
      --min-free-gb) min_free=$2 ;;
      *) usage_error "$1: unknown option" ;;
    esac
    shift 2
  done
  [ -n "$work" ] || usage_error "--work is missing"
  [[ $label =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || usage_error "--label $label: letters, digits, . _ and - only"
  [[ $retries =~ ^[1-9][0-9]*$ ]] || usage_error "--retries $retries: a number from 1"
  [[ ${min_free:-0} =~ ^[0-9]+$ ]] || usage_error "--min-free-gb $min_free: a number"
}

# What prepare.sh left, and that it is whole.
load_prepared() {
  local found
  check_prepared "$work"
  state=$work/state l4t=$work/Linux_for_Tegra
  choose_board "$(value board "$work/prepared")" "$(value storage "$work/prepared")" "$(value release "$work/prepared")"
  ab=$(value ab "$work/prepared") config=$(value config "$work/prepared") is_prepared=$(value is "$work/prepared")
  found=$(bsp_release "$l4t")
  [ "$found" = "$release" ] || stop "the BSP in $l4t is $found, and $board was prepared with $release" "run prepare.sh again"
}

# How a board comes into recovery mode (developer kits; other carriers have their own pins and buttons).
how_to_recover() {
  case $board in
    orin-nano | orin-nx)
      echo "power off; join FC REC and GND (pins 9 and 10 of the button header J14 on the developer kit); connect its USB-C" \
        "port to this machine; power on; take the jumper off after flashing" ;;
    agx-orin)
      echo "connect the USB-C port beside the 40-pin header to this machine; with the board powered, hold the middle button" \
        "(force recovery), press and release reset, and let go after two seconds" ;;
    agx-thor)
      echo "connect the USB-C port for recovery to this machine; with the board powered, hold the force-recovery button," \
        "press and release reset, and let go after two seconds" ;;
  esac
}

# The one board in recovery mode, or why there is none. 7020 is a Jetson that runs Linux; 7045 is the supervisor of AGX
# developer kits, which is always there.
find_board() {
  local line id address in_recovery=() linux=() strange=() found
  while read -r line; do
    [[ $line =~ Bus\ ([0-9]+)\ Device\ ([0-9]+):\ ID\ 0955:([0-9a-f]{4}) ]] || continue
    id=${BASH_REMATCH[3]} address="bus ${BASH_REMATCH[1]} device ${BASH_REMATCH[2]}"
    case $id in
      7045) ;;
      7020) linux+=("$address") ;;
      *) if [ -n "$(board_with "$id")" ]; then in_recovery+=("$id $address"); else strange+=("0955:$id on $address"); fi ;;
    esac
  done < <(lsusb -d 0955: || true)
  if [ ${#in_recovery[@]} -gt 1 ]; then
    found=$(for line in "${in_recovery[@]}"; do printf '%s (%s); ' "${line#* }" "$(modules_with "${line%% *}")"; done)
    refuse "several boards are in recovery mode: ${found%; }" "leave one attached: NVIDIA's tool takes the first that it finds"
  elif [ ${#in_recovery[@]} -eq 0 ]; then
    if [ ${#linux[@]} -gt 0 ]; then
      refuse "a Jetson is attached (${linux[*]}) but runs Linux: it is not in recovery mode" "$(how_to_recover)"
    elif [ ${#strange[@]} -gt 0 ]; then
      refuse "no board in recovery mode; of NVIDIA there is ${strange[*]}, which modules.tsv does not know" "$(how_to_recover)"
    else
      refuse "no board in recovery mode: lsusb -d 0955: shows none" "$(how_to_recover)" "use a USB cable for data, and no hub"
    fi
  else
    id=${in_recovery[0]%% *} found=$(board_with "${in_recovery[0]%% *}")
    if [ "$found" = - ]; then
      refuse "attached is $(modules_with "$id"), which nothing here can flash" "use NVIDIA's tools by hand: see docs/flashing.md"
    elif [ "$found" != "$board" ]; then
      refuse "$board was prepared, and attached is $(modules_with "$id") ($found)" "prepare another folder with --board $found"
    else
      say "attached: $(modules_with "$id"), ${in_recovery[0]#* }"
    fi
  fi
}

flashing_command() {
  command=()
  if [ "$ab" = 1 ]; then
    layout=$ab_layout rootdev=$ab_rootdev
    command+=(env ROOTFS_AB=1 "ROOTFS_RETRY_COUNT_MAX=$retries")
  fi
  command+=("./${tool#./}")
  [ -z "$erase_all" ] || command+=(--erase-all)
  [ "$layout" = - ] || command+=(--external-device "$device" -c "$layout")
  [ "$firmware" = - ] || command+=(-p "-c $firmware")
  command+=(--showlogs)
  # R36 writes over a network on the cable. In one command, never --no-flash first: A/B is set in the firmware while it is written.
  [ "$release" != 36.5.0 ] || command+=(--network usb0)
  command+=("$config" "$rootdev")
}

main() {
  local now log free=20
  arguments "$@"
  load_prepared
  need_host "$work"
  need_root
  need_programs lsusb flock tee
  if [ -z "$again" ] && [ "$(state_of "flashed-$label")" = "$is_prepared" ]; then
    say "$label: flashed already with what is prepared here; flash again with --again, another device with --label"
    exit 0
  fi
  [ "$(state_of "flashed-$label")" != begun ] || warn "the last flashing of $label did not end: it begins from the start"
  say "$label: $board, $storage, Jetson Linux $release, $(root_systems "$ab"), configuration $config"
  take_lock "$work"
  find_board
  [ "$ab" = 0 ] || free=40
  need_space "$work" "${min_free:-$free}"
  flashing_command
  if [ -z "$yes$dry_run" ]; then
    printf '  +'
    printf ' %q' "${command[@]}"
    printf '\n'
    stop "this erases the board's storage" "say --yes to do it"
  fi
  note_state "flashed-$label" begun
  now=$(date -u +%Y%m%dT%H%M%SZ) log=$work/logs/flash-$label.log
  if [ -n "$dry_run" ]; then
    run_in "$l4t" "${command[@]}"
    end_dry_run
  fi
  mkdir -p "$work/logs"
  say "flashing begins, $now; it takes 10 to 40 minutes; do not touch the cable. All that is said: $log"
  (cd "$l4t" && "${command[@]}" 9>&-) 2>&1 | tee "$log" || stop "NVIDIA's tool failed: see the end of $log" \
    "take the board's power away, put it into recovery mode again and run this again" \
    "with a message about EEPROM or USB: try another cable and port of this machine"
  note_state "flashed-$label" "$is_prepared"
  say "$label: flashed"
  case $board in
    agx-thor) say "next: take the board's power away and give it back (it does not restart by itself)" ;;
    orin-nano | orin-nx) say "next: take the jumper off, and restart the board if it does not by itself" ;;
  esac
  say "then: jetson/flash/verify.sh --work $work --host 192.168.55.1 (over the same cable), or its address in your network"
}

main "$@"
