# shellcheck shell=bash
# What the scripts of this folder have in common. They run inside the container, in order, one boot for all.
export SYSTEMD_PAGER=cat SYSTEMD_COLORS=0 DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
bad=0
# shellcheck disable=SC2034 # used by the scripts
debs=/acceptance/debs version=$(cat /acceptance/version)

is() { if [ "$2" = "$3" ]; then echo "ok    $1 = $2"; else echo "FAIL  $1: got '$2', wanted '$3'"; bad=1; fi; }
holds() { local what=$1; shift; if "$@"; then echo "ok    $what"; else echo "FAIL  $what"; bad=1; fi; }
# Waits for a condition, a minute and a half at most.
until_so() { local what=$1 _; shift; for _ in $(seq 450); do if "$@"; then echo "ok    $what"; return; fi; sleep 0.2; done; echo "FAIL  $what: not so after 90 s"; bad=1; }
property() { systemctl show -P "$1" "${2:-egret}"; }
restarted() { [ "$(property NRestarts)" -ge "$1" ] && [ "$(property ActiveState)" = active ]; }
install_deb() { dpkg --force-confdef --force-confold -i "$@" >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; return 1; }; }
# The cameras, as a unit of this name: not as root, for whom libraries write caches all over the system.
simulate() {
  systemd-run --quiet --unit="$1" -p DynamicUser=yes -p PrivateTmp=yes -E HOME=/tmp egret-demo sim --port 8554 \
    --camera street=scene,seed=7,size=640x360,fps=5 --camera door=test,size=320x240,fps=5 --camera yard=test,size=320x240,fps=5
}
# Messages of a topic: messages TOPIC NUMBER [SECONDS], one JSON a line.
messages() { mosquitto_sub -h 127.0.0.1 -t "$1" -C "$2" -W "${3:-90}" 2>/dev/null; }
detections() { messages 'egret/+/cam/street/frame' 400 "${1:-90}" | grep -m1 -q '"objects":\[{'; }
metric() { curl -s "http://127.0.0.1:${2:-9180}/metrics" | grep -F "$1" | awk '{s += $NF} END {print s + 0}'; }
# Exposure of the unit as it is loaded: exposure UNIT LIMIT, the limit times ten.
exposure() {
  local score
  score=$(systemd-analyze security --no-pager "$1" | grep -oE 'Overall exposure level .*: [0-9.]+' | grep -oE '[0-9.]+$')
  holds "exposure $score, at most ${2%?}.${2: -1}" [ "${score//./}" -le "$2" ]
}
finish() { exit $bad; }
