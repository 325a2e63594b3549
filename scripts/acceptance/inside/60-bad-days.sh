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
systemd-run --quiet --unit=cameras-again egret-demo sim --port 8554 --camera street=scene,seed=7,size=640x360,fps=5 \
  --camera door=test,size=320x240,fps=5 --camera yard=test,size=320x240,fps=5
holds "they come, and detections with them" detections

# A read-only state.
systemctl stop egret
mount --bind /var/lib/egret /var/lib/egret; mount -o remount,bind,ro /var/lib/egret
systemctl start egret; echo "      start: $?, $(property ActiveState), $(property Result), status $(property ExecMainStatus)"
sleep 3
journalctl -b -u egret -o cat --since '-20s' | grep -iE 'read-only|queue' | head -n 4 | sed 's/^/      /'
holds "runs on with a read-only state" test "$(property ActiveState)" = active
holds "detections" detections
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
