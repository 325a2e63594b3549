# shellcheck shell=bash
# What prepare.sh, flash.sh and verify.sh share: words, tables, digests, what is attached over USB. Sourced, never run.
# EGRET_FLASH_ROOT is a prefix of /proc, for tests.

set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C
umask 022
flash_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
proc=${EGRET_FLASH_ROOT:-}/proc
program=$(basename "$0" .sh)
dry_run='' would_refuse='' state=''

say() { printf '%s\n' "$*"; }
warn() { printf '%s: note: %s\n' "$program" "$*" >&2; }

# stop WHAT REMEDY…: ends the program; in a dry run too.
stop() {
  printf '%s: %s\n' "$program" "$1" >&2
  shift
  [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
  exit 1
}

# refuse WHAT REMEDY…: as stop; a dry run says it and goes on, so that it can be had without root, board or files.
refuse() {
  [ -n "$dry_run" ] || stop "$@"
  would_refuse=1
  printf '  ! would stop here: %s\n' "$1"
  shift
  [ $# -eq 0 ] || printf '      %s\n' "$@"
}

usage_error() {
  printf '%s: %s (see %s --help)\n' "$program" "$1" "$program.sh" >&2
  exit 2
}

# print_help FILE: the comment at the head of a script.
print_help() { awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$1"; }

# The last words of a dry run: 3 when it met what would have ended it.
end_dry_run() {
  [ -n "$would_refuse" ] || { say "dry run: nothing was changed"; exit 0; }
  say "dry run: nothing was changed; it would have been refused, see above"
  exit 3
}

# run COMMAND…: runs it, or says it. The lock (descriptor 9) is not for what it starts, which may stay behind.
run() {
  if [ -n "$dry_run" ]; then
    printf '  +'
    printf ' %q' "$@"
    printf '\n'
  else
    "$@" 9>&-
  fi
}

# run_in FOLDER COMMAND…
run_in() {
  local folder=$1
  shift
  if [ -n "$dry_run" ]; then
    printf '  + cd %q &&' "$folder"
    printf ' %q' "$@"
    printf '\n'
  else
    (cd "$folder" && "$@" 9>&-)
  fi
}

# put MODE FILE <content: a whole file or none; left alone when it is as wanted.
put() {
  local mode=$1 file=$2 new=$2.new
  if [ -n "$dry_run" ]; then
    cat >/dev/null
    printf '  + write %q (mode %s)\n' "$file" "$mode"
    return
  fi
  [ -d "${file%/*}" ] || mkdir -p "${file%/*}"
  [ ! -e "$new" ] || rm -f "$new"
  install -m "$mode" /dev/stdin "$new"
  if [ -f "$file" ] && [ ! -L "$file" ] && cmp -s "$new" "$file" && [ "$(stat -c %a "$file")" = "${mode#0}" ]; then
    rm -f "$new"
  else
    mv -T "$new" "$file"
  fi
}

need_programs() {
  local p missing=()
  for p in "$@"; do command -v "$p" >/dev/null || missing+=("$p"); done
  [ ${#missing[@]} -eq 0 ] || refuse "these programs are missing: ${missing[*]}" \
    "install them; on Ubuntu and Debian: apt-get install tar bzip2 coreutils util-linux usbutils openssl dpkg qemu-user-static openssh-client"
}

need_root() {
  [ "$(id -u)" -eq 0 ] || refuse "this needs root: a root file system keeps its owners and modes only when root unpacks it" \
    "run it again with sudo"
}

# The BSP's tools are x86-64 programs, and its scripts do not quote the paths they use.
need_host() {
  local machine
  machine=$(uname -m)
  [ "$machine" = x86_64 ] || refuse "NVIDIA's flashing tools are programs for x86-64 only, and this machine is $machine" \
    "use an x86-64 machine with Ubuntu (not a virtual one: the board changes its USB address while it is flashed)"
  case $1 in
    *[!A-Za-z0-9/._+-]*) stop "--work $1: the scripts of the BSP fail in folders with blanks or special characters in their names" \
      "take another folder" ;;
  esac
}

# existing FOLDER: it, or the nearest above it that exists.
existing() {
  local folder=$1
  while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
  printf '%s\n' "$folder"
}

# need_space FOLDER GIGABYTES
need_space() {
  local folder have
  folder=$(existing "$1")
  have=$(df --output=avail -B1 "$folder" | tail -n 1)
  [ "$((have / 1000000000))" -ge "$2" ] || refuse "$((have / 1000000000)) GB are free in $folder, and this needs $2 GB" \
    "make room, or give another folder with --work"
}

# One at a time in a work folder.
take_lock() {
  [ -z "$dry_run" ] || return 0
  mkdir -p "$1"
  exec 9>>"$1/lock"
  flock -n 9 || stop "another run is at work in $1" "wait for it to end"
  # What an interrupted `put` left.
  rm -f "$1"/*.new "$1"/state/*.new
}

# digest INPUT…: one digest of all of them, each counted with its length.
digest() {
  local input sum text=''
  for input in "$@"; do text+="${#input}:$input "; done
  sum=$(sha256sum <<<"$text")
  echo "${sum%% *}"
}
digest_of_file() {
  local sum
  sum=$(sha256sum <"$1")
  echo "${sum%% *}"
}

# is_digest TEXT
is_digest() { [[ $1 =~ ^[0-9a-f]{64}$ ]]; }

# verify KIND FILE DIGEST
verify() {
  local found
  if [ -n "$dry_run" ]; then
    say "  + check that the SHA-256 of $2 is $3"
    return
  fi
  say "  checking the SHA-256 of $2"
  found=$(digest_of_file "$2")
  [ "$found" = "$3" ] || stop "$2 is not the $1 that was asked for: its SHA-256 is $found, expected $3" \
    "fetch it again; if you mean to use this file, say so with --sha256 $1=$found"
}

# rows FILE: a table without its comments.
rows() { grep -v '^#' "$flash_dir/$1"; }

# known KIND RELEASE COLUMN: of files.tsv; 3 digest, 4 address, 5 source.
known() { rows files.tsv | awk -F'\t' -v k="$1" -v r="$2" -v c="$3" '$1 == r && $2 == k { print $c }'; }

# release_of JETPACK
release_of() {
  case $1 in
    6.2.2) echo 36.5.0 ;;
    7.2) echo 39.2.0 ;;
    *) usage_error "--jetpack $1: 6.2.2 and 7.2 are known" ;;
  esac
}

# choose_board BOARD STORAGE RELEASE: sets the variables that boards.tsv tells.
choose_board() {
  local row=''
  row=$(rows boards.tsv | awk -F'\t' -v b="$1" -v s="$2" -v r="$3" '$1 == b && (s == "" || $2 == s) && $3 == r { print; exit }')
  if [ -z "$row" ]; then
    rows boards.tsv | cut -f1 | grep -qx "$1" || usage_error "--board $1: known are $(rows boards.tsv | cut -f1 | sort -u | paste -sd' ')"
    stop "Jetson Linux $3 does not fit $1${2:+ with storage $2}: what fits is:" \
      "$(rows boards.tsv | awk -F'\t' -v b="$1" '$1 == b { printf "%s%s on %s", s, $3, $2; s = ", " } END { print "" }')"
  fi
  # shellcheck disable=SC2034 # for those who source this
  IFS=$'\t' read -r board storage release config tool rootdev device layout firmware apply ab_rootdev ab_layout ab_known <<<"$row"
}

# bsp_release FOLDER: what the BSP in it says that it is.
bsp_release() {
  awk -F= '$1 == "BSP_BRANCH" { b = $2 } $1 == "BSP_MAJOR" { m = $2 } $1 == "BSP_MINOR" { n = $2 } END { print b "." m "." n }' \
    "$1/nv_tegra/bsp_version" 2>/dev/null || true
}

root_systems() { if [ "$1" = 1 ]; then echo "two root file systems (A/B)"; else echo "one root file system"; fi; }

# value KEY FILE: of the lines KEY=VALUE that prepare.sh leaves.
value() { sed -n "s/^$1=//p" "$2"; }

# check_prepared FOLDER: that prepare.sh ended there, and that what it left says all that those after it need.
check_prepared() {
  local key
  [ -e "$1/prepared" ] || stop "nothing is prepared in $1" "run prepare.sh with --work $1 until it says: ready"
  for key in board storage release ab config hostname user is; do
    [ -n "$(value $key "$1/prepared")" ] || stop "$1/prepared is damaged: it has no line $key=" "run prepare.sh with --work $1 again"
  done
  rows boards.tsv | cut -f1 | grep -qx -- "$(value board "$1/prepared")" ||
    stop "$1/prepared is damaged: board=$(value board "$1/prepared") is no board" "run prepare.sh with --work $1 again"
}

# mounts_below FOLDER: what is mounted in it; removing it would remove what is mounted.
mounts_below() { awk -v d="$1/" 'index($5, d) == 1 { print $5 }' "$proc/self/mountinfo"; }

# modules_with ID: their names.
modules_with() { rows modules.tsv | awk -F'\t' -v i="$1" '$1 == i { printf "%s%s", s, $3; s = " or " } END { print "" }'; }
board_with() { rows modules.tsv | awk -F'\t' -v i="$1" '$1 == i { print $4; exit }'; }

# What is done in the work folder stands in $state, a file for each stage.
state_of() { [ ! -e "$state/$1" ] || cat "$state/$1"; }
note_state() {
  if [ -n "$dry_run" ]; then
    if is_digest "$2"; then say "  + note: $1 is done"; else say "  + note: $1 is $2"; fi
  else
    printf '%s\n' "$2" | put 0644 "$state/$1"
  fi
}

# remove FOLDER: unless something is mounted in it.
remove() {
  local mounted
  [ -e "$1" ] || return 0
  mounted=$(mounts_below "$1" | paste -sd' ')
  [ -z "$mounted" ] || refuse "cannot remove $1: mounted in it are $mounted" "an interrupted run of NVIDIA's scripts left them: umount $mounted"
  run rm -rf --one-file-system "$1"
}

