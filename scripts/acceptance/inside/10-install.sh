#!/bin/bash
# Installed is running: before there is a configuration, then with cameras and a broker.
# shellcheck source=scripts/acceptance/inside/lib.sh
. "$(dirname "$0")/lib.sh"
# What purging is held against in the end.
find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /tmp -o -path /acceptance -o -path /var/log -o -path /var/lib/systemd \
  -o -path /root \) -prune -o -print | sort >/root/before
install_deb "$debs/egret-demo.deb"; is "dpkg -i egret-demo" $? 0
install_deb "$debs/egret_$version~older.deb"; is "dpkg -i egret" $? 0
grep -i -A3 warn /tmp/dpkg.log
holds "egret doctor has looked at the machine" grep -qE '^[0-9]+ errors?, [0-9]+ warnings?$' /tmp/dpkg.log
grep -E '^(error|warning|note) |^[0-9]+ errors' /tmp/dpkg.log | sed 's/^/      /'
is "started by the installation" "$(property ActiveState)" active
is "at each boot" "$(systemctl is-enabled egret)" enabled
is "template" "$(systemctl is-enabled egret@.service)" disabled
is "owner and mode of the configuration" "$(stat -c '%U:%G %a' /etc/egret/egret.toml)" "root:egret 640"
for unit in egret.service egret@one.service egret-engine-build.service; do
  is "systemd-analyze verify $unit prints" "$(systemd-analyze verify --man=no "$unit" 2>&1)" ""
done
for file in /etc/egret/conf.d /var/lib/egret /var/lib/egret/models; do holds "$file" test -d $file; done
holds "man page" test -e /usr/share/man/man1/egret.1.gz
is "the broker of the tests" "$(property ActiveState mosquitto)" active

# The cameras: streets as the street network knows them, and test pictures that it has nothing to do with.
simulate cameras
until_so "cameras are up" bash -c 'exec 3<>/dev/tcp/127.0.0.1/8556' 2>/dev/null
install -D -m 644 -o egret -g egret -t /var/lib/egret/models /acceptance/street/street.onnx /acceptance/street/model.toml
(umask 077; echo hunter2 >/etc/egret/mqtt.password)
cat >/etc/egret/conf.d/10-site.toml <<'C'
device = "box"
[mqtt]
url = "mqtt://127.0.0.1"
username = "egret"
password_credential = "mqtt"
track_update_interval = "2s"
[[model]]
name = "street"
file = "/var/lib/egret/models/street.onnx"
workers = 1
[[model]]
name = "blind"
builtin = "null"
[[camera]]
name = "street"
url = "rtsp://127.0.0.1:8554/street"
model = "street"
max_fps = 2
[[camera.rule]]
name = "anybody"
kind = "zone"
zone = [[0, 0], [1, 0], [1, 1], [0, 1]]
[[camera]]
name = "door"
url = "rtsp://127.0.0.1:8555/door"
model = "blind"
C
egret check; is "egret check" $? 0
systemctl restart egret; is "systemctl restart waits until it is ready" $? 0
holds "detections reach the broker" detections
p=$(property MainPID)
is "runs as" "$(ps -o user= -p "$p")" egret
is "capabilities" "$(awk '/^CapEff/{print $2}' "/proc/$p/status")" 0000000000000000
is "no new privileges" "$(awk '/^NoNewPrivs/{print $2}' "/proc/$p/status")" 1
is "seccomp" "$(awk '/^Seccomp:/{print $2}' "/proc/$p/status")" 2
is "the password's file" "$(stat -c '%U %a' /etc/egret/mqtt.password)" "root 600"
is "its credential" "$(cat "/run/credentials/egret.service/mqtt")" hunter2
holds "GStreamer's list of plug-ins is kept" bash -c 'ls /var/cache/egret/gstreamer-1.0/registry.*.bin >/dev/null'
exposure egret 22
# Information, not a test: this machine serves others too.
start=$(property ExecMainStartTimestampMonotonic) ready=$(property ActiveEnterTimestampMonotonic)
echo "      process start to ready: $(((ready - start) / 1000)) ms"
finish
