#!/bin/bash
# The daemon's own cost per frame beside a Python peer that does the same work, both against one mosquitto, in turns.
# Prints every run as a JSON line, then the medians and their ratio.
#
#   daemon/benches/overhead.sh [rounds] [seconds]
#
# EGRET: the binary (default: the release build). PYTHON: an interpreter with trackers, supervision, numpy and paho-mqtt.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
egret=${EGRET:-$here/../../target/release/egret}
python=${PYTHON:-python3}
rounds=${1:-3} seconds=${2:-10}
work=$(mktemp -d)
broker=
finish() {
    [ -z "$broker" ] || kill "$broker" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# A free port, as far as anybody can know: mosquitto cannot choose one itself. Taken meanwhile, it says so and ends.
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" > "$work/mosquitto.conf"
mosquitto -c "$work/mosquitto.conf" > "$work/mosquitto.log" 2>&1 &
broker=$!
until (exec 3<> "/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    kill -0 "$broker" 2>/dev/null || { cat "$work/mosquitto.log" >&2; exit 1; }
done

for _ in $(seq "$rounds"); do
    "$egret" bench overhead --broker "mqtt://127.0.0.1:$port" --seconds "$seconds" --json --saturated | tee -a "$work/saturated"
    "$python" "$here/peers/overhead.py" --port "$port" --seconds "$seconds" | tee -a "$work/peer"
    for cameras in 8 64; do
        "$egret" bench overhead --broker "mqtt://127.0.0.1:$port" --seconds "$seconds" --json --cameras "$cameras" --fps 30 |
            tee -a "$work/paced$cameras"
    done
    "$python" "$here/peers/overhead.py" --port "$port" --seconds "$seconds" --fps 30 | tee -a "$work/peer_paced8"
done

"$python" - "$work" <<'END'
import json, statistics, sys
def median(name):
    return statistics.median(json.loads(line)["cpu_us_per_frame"] for line in open(f"{sys.argv[1]}/{name}"))
names = ["saturated", "peer", "paced8", "peer_paced8", "paced64"]
m = {name: median(name) for name in names}
source = statistics.median(json.loads(line)["cpu_us_per_frame_by_thread"]["source"] for line in open(f"{sys.argv[1]}/paced8"))
print(f"of paced8, {source:.1f} are the null source's own timers and offers")
print("CPU µs per frame, medians:", ", ".join(f"{name} {m[name]:.1f}" for name in names))
print(f"saturated: the peer takes {m['peer'] / m['saturated']:.1f} times as much; paced 8 x 30: {m['peer_paced8'] / m['paced8']:.1f} times")
END
