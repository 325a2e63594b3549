#!/bin/bash
# shellcheck disable=SC2317 # functions are called through others
# A reload adds a camera and removes it, and the others lose no frame.
# shellcheck source=scripts/acceptance/inside/lib.sh
. "$(dirname "$0")/lib.sh"
online() { messages "egret/box/cam/$1/status" 1 2 | grep -q '"state":"online"'; }
until_so "door is online" online door
dropped=$(metric 'egret_frames_dropped_total{camera="door"')
(timeout 120 mosquitto_sub -h 127.0.0.1 -t egret/box/cam/door/frame >/tmp/door) &
sleep 3
cat >/etc/egret/conf.d/30-yard.toml <<'C'
[[camera]]
name = "yard"
url = "rtsp://127.0.0.1:8556/yard"
model = "blind"
C
systemctl reload egret
until_so "yard is online" online yard
holds "its frames come" bash -c 'mosquitto_sub -h 127.0.0.1 -t egret/box/cam/yard/frame -C 5 -W 60 >/dev/null'
sleep 2
rm /etc/egret/conf.d/30-yard.toml
systemctl reload egret
gone() { [ -z "$(messages egret/box/cam/yard/status 1 1)" ]; }
until_so "yard is gone, its retained status too" gone
sleep 3
pkill -x mosquitto_sub
is "one daemon all along" "$(jq -r .boot_id /tmp/door | sort -u | wc -l)" 1
jq -r .seq /tmp/door | awk 'NR > 1 && $1 != last + 1 {gaps++} {last = $1} END {print NR " frames of door, " gaps + 0 " gaps"; exit gaps > 0 || NR < 20}'
is "frames of door without a gap" $? 0
# Numbers of the camera's own pictures, besides those of messages.
jq -r .frame /tmp/door | awk 'NR > 1 && $1 != last + 1 {gaps++} {last = $1} END {exit gaps > 0}'
is "pictures of door without a gap" $? 0
is "dropped frames of door" "$(metric 'egret_frames_dropped_total{camera="door"')" "$dropped"
finish
