#!/bin/bash
# shellcheck disable=SC2317 # functions are called through others
# Drop-ins, and a second instance.
# shellcheck source=scripts/acceptance/inside/lib.sh
. "$(dirname "$0")/lib.sh"
mkdir -p /etc/systemd/system/egret.service.d
ln -s /usr/share/egret/drop-ins/cpu-only.conf /etc/systemd/system/egret.service.d/
systemctl daemon-reload; systemctl restart egret; is "starts with cpu-only" $? 0
holds "detections with cpu-only" detections
exposure egret 16
is "its devices" "$(property PrivateDevices)" yes
is "users of its own" "$(property PrivateUsers)" yes
p=$(property MainPID)
holds "no other device is there" bash -c "! test -e /proc/$p/root/dev/console -a -e /proc/$p/root/dev/mem"
ln -s /usr/share/egret/drop-ins/log-namespace.conf /etc/systemd/system/egret.service.d/
here=$(journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p')
systemctl daemon-reload; systemctl restart egret; is "starts with a journal of its own" $? 0
until_so "lines are in it" bash -c 'journalctl --namespace=egret -u egret -o cat 2>/dev/null | grep -q "egret starts"'
is "and not beside it" "$(journalctl -b -u egret -o cat --after-cursor "$here" | grep -c 'egret starts')" 0
rm /etc/systemd/system/egret.service.d/log-namespace.conf
systemctl daemon-reload; systemctl restart egret

install -d /etc/egret/instances/second
cat >/etc/egret/instances/second/egret.toml <<'C'
device = "second"
[mqtt]
url = "mqtt://127.0.0.1"
[http]
listen = "127.0.0.1:9181"
[[model]]
name = "blind"
builtin = "null"
[[camera]]
name = "yard"
url = "rtsp://127.0.0.1:8556/yard"
C
systemctl enable --now egret@second 2>/dev/null; is "a second instance starts" $? 0
holds "its frames come" bash -c 'mosquitto_sub -h 127.0.0.1 -t egret/second/cam/yard/frame -C 3 -W 60 >/dev/null'
holds "its state is its own" test -d /var/lib/egret/instances/second/queue
is "and the first one runs" "$(property ActiveState)" active
systemctl stop egret; is "the first one's end" "$(property Result)" success
is "leaves the second one" "$(property ActiveState egret@second)" active
systemctl start egret
finish
