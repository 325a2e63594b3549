#!/bin/bash
# A data partition of its own that is full: at work, at a start, and with room again.
# shellcheck disable=SC2317 # functions are called through others
# shellcheck source=scripts/acceptance/inside/lib.sh
. "$(dirname "$0")/lib.sh"
systemctl stop egret
mount -t tmpfs -o "size=16m,mode=750,uid=$(id -u egret),gid=$(id -g egret)" tmpfs /var/lib/egret
install -D -m 644 -o egret -g egret -t /var/lib/egret/models /acceptance/street/street.onnx /acceptance/street/model.toml
systemctl start egret; is "starts on an empty partition" $? 0
holds "detections" detections
before=$(property NRestarts) pid=$(property MainPID)
here=$(journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p')
told() { journalctl -b -u egret -o cat --after-cursor "$here" | grep -q "$1"; }
dd if=/dev/zero of=/var/lib/egret/filler bs=4k 2>/dev/null
is "bytes that are left" "$(stat -f -c '%a' /var/lib/egret)" 0
systemctl stop mosquitto
until_so "what comes waits in memory, and that is told" told "the queue cannot be written"
systemctl start mosquitto
holds "detections with no room left" detections
is "the same process" "$(property MainPID)" "$pid"
runuser -u egret -- egret doctor >/tmp/doctor 2>&1
holds "the doctor names it" grep -qE '^(warning|error) +storage' /tmp/doctor
grep -E '^(warning|error) +storage' /tmp/doctor | sed 's/^/      /'

systemctl restart egret; is "starts with no room left" $? 0
holds "detections after that" detections
here=$(journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p')
systemctl stop mosquitto
sleep 5
rm /var/lib/egret/filler
systemctl start mosquitto
holds "detections with room again" detections
is "not started again by itself" "$(property NRestarts)" "$before"
journalctl -b -u egret -o cat --since '-120s' | grep -iE 'queue' | tail -n 5 | sed 's/^/      /'
systemctl restart egret; is "starts with room again" $? 0
kept() { [ -n "$(find /var/lib/egret/queue -type f -size +0)" ]; }
until_so "the queue is on disk again" kept
systemctl stop egret
umount /var/lib/egret
systemctl start egret; is "and as before on its own disk" $? 0
finish
