#!/bin/bash
# What docs/install.md says of bad days, as far as a container has them.
# shellcheck disable=SC2317 # functions are called through others
# shellcheck source=scripts/acceptance/inside/lib.sh
. "$(dirname "$0")/lib.sh"
# No room for the version before: told, and installed all the same.
rm -rf /var/lib/egret-rollback; mkdir /var/lib/egret-rollback
mount -t tmpfs -o size=1m tmpfs /var/lib/egret-rollback
install_deb "$debs/egret_$version.deb"; is "installed without room for the version before" $? 0
holds "that is told" grep -q "could not be kept" /tmp/dpkg.log
is "nothing half is left" "$(find /var/lib/egret-rollback -mindepth 1 | wc -l)" 0
nothing_kept() { ! egret-rollback >/tmp/rollback 2>&1 && grep -q "no earlier version is kept" /tmp/rollback; }
holds "egret-rollback says so" nothing_kept
umount /var/lib/egret-rollback

# Power cut between unpacking and configuring.
dpkg --force-confdef --force-confold --unpack "$debs/egret_$version+newer.deb" >/tmp/dpkg.log 2>&1; is "unpacked, then cut" $? 0
dpkg --configure -a >>/tmp/dpkg.log 2>&1; is "dpkg --configure -a" $? 0
is "runs" "$(property ActiveState)" active
is "version" "$(dpkg-query -W -f '${db:Status-Abbrev}${Version}' egret)" "ii $version+newer"

# Cameras and broker away at the start.
systemctl stop cameras mosquitto
systemctl restart egret; is "starts without cameras and broker" $? 0
systemctl start mosquitto
simulate cameras-again
holds "they come, and detections with them" detections

# A state whose file system has gone read-only. (A read-only bind mount would be made writable again by the unit's sandbox.)
systemctl stop egret
mount -t tmpfs -o "size=16m,mode=750,uid=$(id -u egret),gid=$(id -g egret)" tmpfs /var/lib/egret
install -D -m 644 -o egret -g egret -t /var/lib/egret/models /acceptance/street/street.onnx /acceptance/street/model.toml
mount -o remount,ro /var/lib/egret
here=$(journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p')
systemctl start egret; is "starts with a read-only state" $? 0
holds "says that there is no queue on disk" bash -c "journalctl -b -u egret -o cat --after-cursor '$here' | grep -q 'there is no queue on disk'"
journalctl -b -u egret -o cat --after-cursor "$here" | grep -iE 'read-only|queue' | head -n 4 | sed 's/^/      /'
holds "detections" detections
is "runs on" "$(property ActiveState)" active
runuser -u egret -- env HOME=/var/lib/egret egret doctor >/tmp/doctor 2>&1
holds "the doctor names it" grep -qE '^error +storage .*read-only' /tmp/doctor
egret doctor >/tmp/doctor 2>&1
holds "and to root, of the same folder" grep -qE '^error +storage .*/var/lib/egret.*read-only' /tmp/doctor
systemctl stop egret
umount /var/lib/egret
systemctl start egret; is "and as before with a writable one" $? 0

# A credential's file that a drop-in names and that is not there.
mkdir -p /etc/systemd/system/egret.service.d
printf '[Service]\nLoadCredential=door:/etc/egret/door.password\n' >/etc/systemd/system/egret.service.d/90-door.conf
systemctl daemon-reload
refused() { ! systemctl restart egret 2>/dev/null; }
holds "a missing credential is refused" refused
is "status" "$(property ExecMainStatus)" 243
rm /etc/systemd/system/egret.service.d/90-door.conf
systemctl daemon-reload; systemctl reset-failed egret; systemctl start egret; is "starts without it" $? 0
finish
