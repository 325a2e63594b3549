#!/usr/bin/env bash
# Gives a root file system a user who can log in, and nothing that devices would share: no password unless one is asked for,
# no SSH host keys, no machine id.
#   add-user.sh LINUX_FOR_TEGRA USER HOSTNAME none|nopassword|password SSH_KEY PASSWORD_FILE     (the last two may be '')
set -euo pipefail
export LC_ALL=C
umask 022
[ $# -eq 6 ] || { echo "add-user: takes six arguments, see its head; prepare.sh calls this" >&2; exit 2; }
l4t=$1 user=$2 hostname=$3 sudo=$4 ssh_key=$5 password_file=$6
rootfs=$l4t/rootfs

# NVIDIA's script makes the user and turns off the questions of the first start. It wants a password on its command line,
# where others on this machine can read it, so it gets one that nobody will use.
(cd "$l4t" && ./tools/l4t_create_default_user.sh -u "$user" -p "$(openssl rand -hex 24)" -n "$hostname" --accept-license)

# The field of /etc/shadow: the hash of the password that was asked for, else locked.
field='!'
[ -z "$password_file" ] || field=$(head -n 1 "$password_file" | openssl passwd -6 -stdin)
field=$field awk -F: -v OFS=: -v u="$user" '$1 == u { $2 = ENVIRON["field"]; found = 1 } { print } END { exit !found }' \
  "$rootfs/etc/shadow" >"$rootfs/etc/shadow.new" || { echo "add-user: $user is not in $rootfs/etc/shadow" >&2; exit 1; }
# The file stays the same one, with its owner and mode.
cat "$rootfs/etc/shadow.new" >"$rootfs/etc/shadow"
rm -f "$rootfs/etc/shadow.new"

IFS=: read -r _ _ uid gid _ home _ < <(grep "^$user:" "$rootfs/etc/passwd")
if [ -n "$ssh_key" ]; then
  install -d -m 0700 "$rootfs$home/.ssh"
  install -m 0600 "$ssh_key" "$rootfs$home/.ssh/authorized_keys"
  chown -R "$uid:$gid" "$rootfs$home/.ssh"
fi

mkdir -p "$rootfs/etc/sudoers.d" "$rootfs/etc/ssh/sshd_config.d"
case $sudo in
  none) echo "$user ALL=(ALL) !ALL" >"$rootfs/etc/sudoers.d/90-egret" ;;
  nopassword) echo "$user ALL=(ALL) NOPASSWD: ALL" >"$rootfs/etc/sudoers.d/90-egret" ;;
  password) echo "$user ALL=(ALL) ALL" >"$rootfs/etc/sudoers.d/90-egret" ;;
esac
chmod 0440 "$rootfs/etc/sudoers.d/90-egret"
{
  echo "PermitRootLogin no"
  [ -n "$password_file" ] || printf '%s\n' "PasswordAuthentication no" "KbdInteractiveAuthentication no"
} >"$rootfs/etc/ssh/sshd_config.d/10-egret.conf"

# Every device makes keys and an id of its own at its first start.
rm -f "$rootfs"/etc/ssh/ssh_host_*
: >"$rootfs/etc/machine-id"
mkdir -p "$rootfs/etc/systemd/system/ssh.service.d" "$rootfs/etc/systemd/system/multi-user.target.wants"
printf '%s\n' "[Service]" "ExecStartPre=" "ExecStartPre=/usr/bin/ssh-keygen -A" "ExecStartPre=/usr/sbin/sshd -t" \
  >"$rootfs/etc/systemd/system/ssh.service.d/10-egret-host-keys.conf"
