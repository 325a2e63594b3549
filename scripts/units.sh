#!/usr/bin/env bash
# What can be known of systemd/ without a running systemd: units and drop-ins are understood, the sandboxes are as tight as promised, what
# units name is there, and each file reaches the packages.
#   scripts/units.sh           checks
#   scripts/units.sh --write   writes anew what is derived: egret@.service
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
complain() { printf 'units: %s\n' "$*" >&2; failed=1; }

# The template is the unit with its directories and its configuration per instance.
instance() {
  sed -e '/^Description=/s/$/ (%i)/' \
    -e 's|/etc/egret/|/etc/egret/instances/%i/|g' \
    -e 's|%S/egret |%S/egret/instances/%i |; s|%C/egret|%C/egret/instances/%i|g; s|%t/egret|%t/egret@%i|' \
    -e '/^\(State\|Cache\|Configuration\)Directory=egret$/s|$|/instances/%i|' \
    -e 's|^RuntimeDirectory=egret$|&@%i|' \
    -e 's|systemctl edit egret|&@NAME|' systemd/egret.service
}
if [ "${1:-}" = --write ]; then
  instance >systemd/egret@.service
  exit
fi
[ $# -eq 0 ] || { echo "units: $1: unknown; scripts/units.sh [--write]" >&2; exit 2; }
instance | diff -u systemd/egret@.service - >&2 || complain "systemd/egret@.service is not egret.service per instance: run scripts/units.sh --write"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# systemd-analyze finds drop-ins beside a unit only below a root; one file with the drop-in's lines behind the unit's means the same.
# Programs of the packages are not installed here.
with() {
  local name=$1 file
  shift
  for file in "$@"; do
    sed -E 's#^(ExecStart=|ExecStartPre=)/usr/bin/egret.*#\1/bin/true#' "$file"
  done >"$folder/$name.service"
}
# judged NAME EXPOSURE FILE…: its parts give a unit that systemd takes without a word, and whose exposure (times ten) is not above it.
judged() {
  local name=$1 limit=$2 said score
  shift 2
  with "$name" "$@"
  # It returns 0 for unknown keys and bad values, and only prints them.
  said=$(systemd-analyze verify --man=no "$folder/$name.service" 2>&1) || said+=" (status $?)"
  [ -z "$said" ] || complain "$name: $said"
  score=$(systemd-analyze security --offline=true --no-pager "$folder/$name.service" | grep -oE 'service: [0-9.]+' | tr -dc '0-9.')
  printf 'exposure %s (at most %s.%s): %s\n' "$score" $((limit / 10)) $((limit % 10)) "$name"
  systemd-analyze security --offline=true --threshold="$limit" "$folder/$name.service" >/dev/null 2>&1 || complain "$name: exposure $score"
}
unit=systemd/egret.service drops=systemd/drop-ins
if command -v systemd-analyze >/dev/null; then
  judged egret 22 $unit
  judged egret@example 22 systemd/egret@.service
  judged egret-cpu-only 16 $unit $drops/cpu-only.conf
  judged egret-jetpack6 22 $unit $drops/device-policy-jetpack6.conf
  judged egret-jetpack7 22 $unit $drops/device-policy-jetpack7.conf
  judged egret-logs 22 $unit $drops/log-namespace.conf
  judged egret-engine-build 22 systemd/egret-engine-build.service
else
  complain "systemd-analyze is not installed (package systemd)"
fi

# The build of engines has the same sandbox as the daemon.
sandbox() { sed -n '/^NoNewPrivileges=/,/^$/p' "$1" | grep -v '^$'; }
diff <(sandbox $unit) <(sandbox systemd/egret-engine-build.service) >&2 || complain "the sandbox of egret-engine-build.service differs"

# User, group and directories are those of sysusers.d and of tmpfiles.d.
for file in systemd/*.service; do
  user=$(sed -n 's/^User=//p' "$file")
  grep -qE "^u $user " systemd/sysusers.d/egret.conf || complain "$file: sysusers.d knows no user $user"
  while IFS= read -r group; do
    grep -qE "^g $group " systemd/sysusers.d/egret.conf || complain "$file: sysusers.d knows no group $group"
  done < <(sed -n 's/^SupplementaryGroups=//p' "$file" | tr ' ' '\n')
done
for directory in /etc/egret /var/lib/egret /var/cache/egret; do
  grep -qE "^d $directory " systemd/tmpfiles.d/egret.conf || complain "tmpfiles.d does not make $directory"
done

# Each file of systemd/ is in a package, and what the files of the packages name is in one too.
installed=systemd/debian/egret.install
while IFS= read -r file; do
  grep -qE "^${file//./\\.} " $installed || complain "$file is in no package ($installed)"
done < <(find systemd/drop-ins systemd/journald@egret.conf.d systemd/egret.toml -type f)
while IFS= read -r program; do
  folder_of=${program%/*}
  grep -qE "(^|/)${program##*/} ${folder_of#/}/\$" $installed || complain "no package installs $program, which a unit starts"
done < <(sed -nE 's#^Exec(Start|StartPre)=(/usr/[^ ]+).*#\2#p' systemd/*.service | sort -u)
while IFS= read -r file; do
  [ -e "systemd/drop-ins/${file##*/}" ] || complain "there is no $file"
done < <(grep -rhoE '/usr/share/egret/drop-ins/[a-z0-9-]+\.conf' systemd docs | sort -u)
exit $failed
