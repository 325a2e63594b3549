#!/usr/bin/env bash
# Asks a flashed device over SSH whether it is what was prepared: module, Jetson Linux, A/B, power mode, egret. Changes nothing
# on it. Ends with 0 when all is as wanted.
#
#   verify.sh --work DIR --host ADDRESS [--label NAME] [--identity FILE] [--dry-run]
#
# The user is the one of prepare.sh. A device that was flashed anew has a new host key: it is kept in the work folder, for each
# label, and a second one under the same label is refused.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

work='' host='' label=device identity='' failed=0

arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --help) print_help "$0"; exit 0 ;;
      --dry-run) dry_run=1; shift; continue ;;
    esac
    [ $# -ge 2 ] || usage_error "$1: unknown, or its value is missing"
    case $1 in
      --work) work=$(realpath -m "$2") ;;
      --host) host=$2 ;;
      --label) label=$2 ;;
      --identity) identity=$2 ;;
      *) usage_error "$1: unknown option" ;;
    esac
    shift 2
  done
  [ -n "$work" ] || usage_error "--work is missing"
  [[ $host =~ ^[A-Za-z0-9][A-Za-z0-9.:%_-]*$ ]] || usage_error "--host is missing, or not an address"
  [[ $label =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || usage_error "--label $label: letters, digits, . _ and - only"
}

# line WHAT WANTED FOUND
line() {
  if [ "$2" = "$3" ]; then
    printf 'ok      %-22s %s\n' "$1" "$3"
  else
    printf 'FAILED  %-22s %s, wanted %s\n' "$1" "${3:-nothing}" "$2"
    failed=1
  fi
}

# What runs on the device after detect.sh. Without sudo, and without nvbootctrl, A/B stays unknown.
questions() {
  # shellcheck disable=SC2016 # for the device's shell
  printf '%s\n' \
    'echo "egret_package=$(dpkg-query -W -f "\${db:Status-Status}" egret 2>/dev/null)"' \
    'echo "egret_version=$(dpkg-query -W -f "\${Version}" egret 2>/dev/null)"' \
    'echo "egret_service=$(systemctl is-active egret.service)"' \
    'echo "machine=$(systemctl is-system-running)"' \
    'echo "hostname=$(cat /etc/hostname)"'
}

main() {
  local answers=() text prepared ab wanted
  arguments "$@"
  prepared=$work/prepared
  check_prepared "$work"
  need_programs ssh
  command=(ssh -o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=accept-new -o "UserKnownHostsFile=$work/known-hosts-$label")
  [ -z "$identity" ] || command+=(-i "$identity" -o IdentitiesOnly=yes)
  command+=("$(value user "$prepared")@$host"
    "if sudo -n true 2>/dev/null; then exec sudo -n bash -s; else exec bash -s; fi")
  if [ -n "$dry_run" ]; then
    run "${command[@]}"
    end_dry_run
  fi
  text=$({ cat "$flash_dir/detect.sh"; questions; } | "${command[@]}") \
    || stop "the device at $host did not answer as $(value user "$prepared")" \
    "is it on, and in your network? Over the cable it is 192.168.55.1; its first start takes a few minutes" \
    "after it was flashed again: rm $work/known-hosts-$label"
  mapfile -t answers <<<"$text"
  answer() { printf '%s\n' "${answers[@]}" | sed -n "s/^$1=//p"; }

  say "$label at $host: $(answer module), JetPack $(answer jetpack), egret $(answer egret_version)"
  line "board" "$(value board "$prepared")" "$(answer board)"
  line "Jetson Linux" "$(value release "$prepared")" "$(answer release)"
  line "host name" "$(value hostname "$prepared")" "$(answer hostname)"
  ab=$(value ab "$prepared") wanted=off
  [ "$ab" = 0 ] || wanted=$([ "$(answer rootfs_ab)" = B ] && echo B || echo A)
  line "root A/B" "$wanted" "$(answer rootfs_ab)"
  [ -z "$(value power_mode "$prepared")" ] || line "power mode" "$(value power_mode "$prepared")" "$(answer power_mode)"
  line "package egret" installed "$(answer egret_package)"
  line "egret.service" active "$(answer egret_service)"
  line "services" running "$(answer machine)"
  [ "$failed" -eq 0 ] || stop "the device is not as prepared, see above" \
    "on it: systemctl --failed; journalctl -u egret; egret doctor"
  say "all as prepared"
}

main "$@"
