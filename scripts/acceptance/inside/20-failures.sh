#!/bin/bash
# shellcheck disable=SC2317 # functions are called through others
# SIGKILL, a hang, a configuration that is wrong: as the unit says.
# shellcheck source=scripts/acceptance/inside/lib.sh
. "$(dirname "$0")/lib.sh"
mkdir -p /run/systemd/system/egret.service.d
# The same watchdog, sooner than after a minute.
printf '[Service]\nWatchdogSec=6\n' >/run/systemd/system/egret.service.d/proof.conf
systemctl daemon-reload; systemctl restart egret
is "restarts" "$(property NRestarts)" 0
systemctl kill --kill-whom=main -s KILL egret
until_so "back after kill -9" restarted 1
holds "and at work" detections

systemctl kill --kill-whom=main -s STOP egret
until_so "back after a hang" restarted 2
holds "the watchdog did it" bash -c 'journalctl -b -u egret -o cat | grep -q "Watchdog timeout (limit 6s)!"'
holds "and at work" detections

# Wrong at a reload: the old one goes on.
printf 'devise = "x"\n[mqtt]\nkeep_alive = "1ms"\n[queue]\nmax_mb = -1\n' >/etc/egret/conf.d/20-wrong.toml
p=$(property MainPID)
systemctl reload egret
until_so "the reload is refused" bash -c 'journalctl -b -u egret -o cat | grep -q "goes on with the old one"'
is "the same process" "$(property MainPID)" "$p"
# Wrong at a start: it stays down, and says which keys.
since=$(date '+%F %T')
refused() { ! systemctl restart egret 2>/dev/null; }
holds "systemctl restart says so" refused
before=$(property NRestarts)
sleep 8
is "it stays down" "$(property ActiveState)" failed
is "exit status" "$(property ExecMainStatus)" 78
is "not started again" "$(property NRestarts)" "$before"
for key in devise mqtt.keep_alive queue.max_mb; do
  holds "the journal names $key" bash -c "journalctl -b -u egret --since '$since' -o cat | grep -qF '$key'"
done
rm /etc/egret/conf.d/20-wrong.toml
systemctl restart egret; is "right again, it starts" $? 0
rm -r /run/systemd/system/egret.service.d; systemctl daemon-reload
finish
