#!/bin/bash
# shellcheck disable=SC2317 # functions are called through others
# Upgrade, a version that refuses the configuration, one command back, downgrade: state, queue and configuration stay.
# shellcheck source=scripts/acceptance/inside/lib.sh
. "$(dirname "$0")/lib.sh"
total() { messages egret/box/cam/street/count/anybody 1 30 | jq -r '.total.in + .total.out'; }
until_so "something is counted" bash -c 'mosquitto_sub -h 127.0.0.1 -t egret/box/cam/street/count/anybody -C 1 -W 5 >/dev/null'
counted=$(total)
boot=$(messages egret/box/cam/street/frame 1 | jq -r .boot_id)

# The broker is away; what happens meanwhile waits in the queue.
systemctl stop mosquitto
sleep 25
sum=$(find /var/lib/egret/queue -type f -size +0 | wc -l)
holds "the queue is on disk ($sum files)" test "$sum" -gt 0
echo '# mine' >>/etc/egret/egret.toml
stat -c %i /etc/egret/conf.d/10-site.toml >/tmp/inode
since=$(date '+%F %T')
install_deb "$debs/egret_$version.deb"; is "upgrade" $? 0
is "version" "$(dpkg-query -W -f '${Version}' egret)" "$version"
is "runs again" "$(property ActiveState)" active
is "its start is that of the upgrade" "$(journalctl -b -u egret --since "$since" -o cat | grep -c 'egret starts')" 1
is "the second instance too" "$(journalctl -b -u egret@second --since "$since" -o cat | grep -c 'egret starts')" 1
is "own lines in the sample stay" "$(tail -n 1 /etc/egret/egret.toml)" "# mine"
is "conf.d is untouched" "$(stat -c %i /etc/egret/conf.d/10-site.toml)" "$(cat /tmp/inode)"
holds "the version before is kept" bash -c "egret-rollback --show | grep -qF 'kept: $version~older'"
systemctl start mosquitto
(timeout 100 mosquitto_sub -h 127.0.0.1 -t 'egret/box/cam/street/event/#' -t 'egret/box/cam/street/track/end' >/tmp/events) &
from_before() { jq -r .boot_id /tmp/events 2>/dev/null | grep -q "$boot"; }
until_so "what waited in the queue arrives, of the version before" from_before
echo "      $(jq -r .boot_id /tmp/events | grep -c "$boot") messages of the version before, $(wc -l </tmp/events) in all"
pkill -x mosquitto_sub
holds "counts go on ($counted, then $(total))" test "$(total)" -ge "$counted"
holds "detections" detections

# A newer sample, ours changed: ours stays, the new one is beside it, and the two can be compared.
install_deb "$debs/egret_$version+newer.deb"; is "upgrade with a newer sample" $? 0
is "ours stays" "$(tail -n 1 /etc/egret/egret.toml)" "# mine"
holds "the new one is beside it" bash -c 'diff /etc/egret/egret.toml /etc/egret/egret.toml.dpkg-dist | grep -q "^> # A line that a newer version brings."'

# A version that does not know a key of ours.
install_deb "$debs/egret_$version+renamed.deb"; is "dpkg does not fail over it" $? 0
is "the service stays down" "$(property ActiveState)" failed
is "exit status" "$(property ExecMainStatus)" 78
holds "the installation names the key" grep -q track_update_interval /tmp/dpkg.log
holds "and the way back" grep -q egret-rollback /tmp/dpkg.log
grep '^egret:' /tmp/dpkg.log | sed 's/^/      /'
egret-rollback >/tmp/rollback 2>&1; is "one command back" $? 0
is "version" "$(dpkg-query -W -f '${Version}' egret)" "$version+newer"
is "held" "$(dpkg --get-selections egret | awk '{print $2}')" hold
is "runs again" "$(property ActiveState)" active
holds "detections" detections
is "own lines in the sample stay" "$(tail -n 1 /etc/egret/egret.toml)" "# mine"

install_deb "$debs/egret_$version~older.deb"; is "downgrade" $? 0
is "runs" "$(property ActiveState)" active
holds "detections" detections
holds "counts go on ($counted, then $(total))" test "$(total)" -ge "$counted"
finish
