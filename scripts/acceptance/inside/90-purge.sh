#!/bin/bash
# Removing keeps state and configuration; purging leaves nothing.
# shellcheck source=scripts/acceptance/inside/lib.sh
. "$(dirname "$0")/lib.sh"
dpkg -r egret >/tmp/dpkg.log 2>&1; is "dpkg -r" $? 0
is "nothing runs" "$(pgrep -c -u egret)" 0
holds "state is kept" test -d /var/lib/egret/queue
holds "configuration is kept" test -e /etc/egret/conf.d/10-site.toml
install_deb "$debs/egret_$version.deb"; is "installed again" $? 0
holds "detections, with what was kept" detections
systemctl stop cameras cameras-again 2>/dev/null
dpkg -P egret >/tmp/dpkg.log 2>&1; is "dpkg -P" $? 0
sed 's/^/      /' /tmp/dpkg.log
is "nothing runs" "$(pgrep -c -u egret)" 0
dpkg -P egret-demo >>/tmp/dpkg.log 2>&1; is "dpkg -P egret-demo" $? 0
find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /tmp -o -path /acceptance -o -path /var/log -o -path /var/lib/systemd \
  -o -path /root \) -prune -o -print | sort >/root/after
left=$(comm -13 /root/before /root/after | grep -vE '^/var/lib/(dpkg|mosquitto)(/|$)|^/var/cache/(man|ldconfig)(/|$)|^/etc/.*-$')
is "paths that were not there before" "$left" ""
is "of the name egret anywhere" "$(find / -xdev -path /proc -prune -o -path /acceptance -prune -o -path /sys -prune -o -iname '*egret*' -print | grep -v '^/tmp/\|^/root/')" ""
is "of the name egret in /run" "$(find /run -iname '*egret*' -not -path '*/systemd/propagate/*' 2>/dev/null)" ""
is "the user stays, as Debian has it" "$(getent passwd egret | cut -d: -f1)" egret
systemctl daemon-reload
is "the service is unknown" "$(property LoadState)" not-found
finish
