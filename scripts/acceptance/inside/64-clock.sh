#!/bin/bash
# A clock that says 1970 when the daemon starts, and steps to the present while it runs. Containers have no clock of their own: libfaketime
# tells the daemon what time it is, but for the monotonic clock, which no step moves.
# shellcheck disable=SC2317 # functions are called through others
# shellcheck source=scripts/acceptance/inside/lib.sh
. "$(dirname "$0")/lib.sh"
faked="LD_PRELOAD=$(echo /usr/lib/*/faketime/libfaketimeMT.so.1) FAKETIME_TIMESTAMP_FILE=/run/clock FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_FAKE_MONOTONIC=1"
echo "-$(($(date +%s) - 30))" >/run/clock
mkdir -p /run/systemd/system/egret.service.d
printf '[Service]\nEnvironment=%s\n' "$faked" >/run/systemd/system/egret.service.d/clock.conf
systemctl daemon-reload; systemctl restart egret; is "starts in 1970" $? 0
year() { messages egret/box/cam/door/frame 1 | jq -r '.published_at[:4]'; }
is "its messages carry that" "$(year)" 1970
holds "detections in 1970" detections
holds "events, through the queue" bash -c 'mosquitto_sub -h 127.0.0.1 -t "egret/box/cam/street/track/end" -t "egret/box/cam/street/event/#" -C 1 -W 90 | jq -e ".published_at[:4] == \"1970\"" >/dev/null'
# shellcheck disable=SC2086 # several variables
runuser -u egret -- env $faked egret doctor >/tmp/doctor 2>&1
holds "the doctor names it" grep -q '^error *clock .*it says 1970-' /tmp/doctor
grep '^error *clock' /tmp/doctor | sed 's/^/      /'

before=$(property NRestarts)
(timeout 60 mosquitto_sub -h 127.0.0.1 -t egret/box/cam/door/frame >/tmp/door) &
sleep 3
echo +0 >/run/clock
present() { [ "$(year)" = "$(date +%Y)" ]; }
until_so "it steps to the present" present
sleep 3
pkill -x mosquitto_sub
is "one daemon all along" "$(jq -r .boot_id /tmp/door | sort -u | wc -l)" 1
jq -r .seq /tmp/door | awk 'NR > 1 && $1 != last + 1 {gaps++} {last = $1} END {print NR " frames of door over the step, " gaps + 0 " gaps"; exit gaps > 0 || NR < 10}'
is "frames over the step without a gap" $? 0
is "years in them" "$(jq -r '.published_at[:4]' /tmp/door | sort -u | paste -sd' ')" "1970 $(date +%Y)"
is "least and most time since arrival are sane" "$(jq -s 'map(.since_arrival_ms) | min >= 0 and max < 10000' /tmp/door)" true
holds "detections in the present" detections
# Longer than the step is away: what runs by a clock that stepped would be stuck now.
sleep 20
is "not started again by itself" "$(property NRestarts)" "$before"
is "and at work" "$(property ActiveState)" active
rm -r /run/systemd/system/egret.service.d; systemctl daemon-reload
systemctl restart egret; is "starts with the machine's clock" $? 0
finish
