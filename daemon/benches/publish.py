#!/usr/bin/env python3
"""Messages per second towards mosquitto: egret beside Paho in Python and in C, in turns.

frames   QoS 0, ten objects, as JSON and as CBOR. egret makes each message anew; the peers send the bytes of one of egret's again and again,
         and make nothing, which is the least that a program with them would do.
events   QoS 1. egret writes each to its queue on disk (synced every 200 ms) and deletes it when the broker has acknowledged; the peers
         keep nothing but what is in flight in memory.
CPU is that of the whole process. Write amplification: bytes that the system wrote to disks for each byte of a message.
A subscriber takes one message of each kind before anything is measured, and none while it is: what a broker does for subscribers is its own.

Needs mosquitto, paho-mqtt, and for the peer in C a compiler and libpaho-mqtt-dev: without them it is left out, and said so.
"""

import argparse
import json
import pathlib
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import paho.mqtt.client as mqtt

HERE = pathlib.Path(__file__).resolve().parent
KINDS = ["frames json", "frames cbor", "events"]
GOALS = {"frames json": 20_000, "frames cbor": 20_000, "events": 5_000}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_broker(folder):
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\n")
    broker = subprocess.Popen(["mosquitto", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return broker, port
        except OSError:
            time.sleep(0.05)
    raise SystemExit("mosquitto does not answer")


def egret(args, port, kind, seconds):
    what = ["--events", args.disk] if kind == "events" else ["--format", kind.split()[1]]
    command = [args.egret, "bench", "publish", "--broker", f"mqtt://127.0.0.1:{port}", "--seconds", str(seconds), "--json", *map(str, what)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def sample(args, port, kind):
    """A message of egret's and its topic."""
    taken, ready = [], threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_message = lambda _c, _d, message: taken.append((message.topic, message.payload))
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe("egret/bench/cam/cam0/event/+" if kind == "events" else "egret/bench/cam/cam0/frame")
    ready.wait(10)
    egret(args, port, kind, 0.5)
    client.disconnect()
    client.loop_stop()
    if not taken:
        raise SystemExit(f"no message of {kind} came")
    return taken[-1]


def paho_python(port, topic, payload, qos, seconds):
    """In a process of its own: see `--peer`."""
    command = [sys.executable, __file__, "--peer", json.dumps([port, topic, payload.hex(), qos, seconds])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peer(port, topic, payload, qos, seconds):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="peer-paho-python", protocol=mqtt.MQTTv5)
    client.max_inflight_messages_set(128)
    done, room = [0], threading.Semaphore(256)

    def sent(*_):
        done[0] += 1
        room.release()

    client.on_publish = sent
    client.connect("127.0.0.1", port)
    client.loop_start()
    payload, count = bytes.fromhex(payload), 0
    used = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    begin, cpu = time.monotonic(), used()
    while time.monotonic() < begin + seconds:
        room.acquire()
        client.publish(topic, payload, qos)
        count += 1
    while done[0] < count:
        time.sleep(0.001)
    wall, cpu = time.monotonic() - begin, used() - cpu
    print(json.dumps({"peer": "paho Python", "messages": count, "messages_per_s": count / wall, "bytes_per_message": len(payload), "cpu_us_per_message": cpu / count * 1e6}))


def paho_c(program, folder, port, topic, payload, qos, seconds):
    file = folder / "payload"
    file.write_bytes(payload)
    command = [program, f"127.0.0.1:{port}", file, topic, str(qos), str(seconds)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--egret", type=pathlib.Path, default=HERE / "../../target/release/egret")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--disk", type=pathlib.Path, default=pathlib.Path.cwd(), help="directory for the queue, on the disk that is meant")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(*json.loads(args.peer))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="egret-publish-"))
    broker, port = start_broker(folder)
    try:
        program = folder / "publish"
        build = ["cc", "-O2", "-o", program, HERE / "peers/publish.c", "-lpaho-mqtt3a", "-lpthread"]
        try:
            built = subprocess.run(build, capture_output=True, text=True)
            reason = built.stderr.splitlines()[0] if built.returncode else None
        except OSError as error:
            reason = str(error)
        if reason:
            print(f"SKIPPED: paho in C cannot be built: {reason}")
        print(f"{args.rounds} rounds of {args.seconds:g} s each; medians (and the extremes of messages per second)\n")
        print(f"{'':12}{'':14}{'messages/s':>24}{'CPU us each':>13}{'bytes each':>12}{'written to disk':>17}")
        runs = {}
        for kind in KINDS:
            topic, payload = sample(args, port, kind)
            qos = int(kind == "events")
            for _ in range(args.rounds):
                runs.setdefault((kind, "egret"), []).append(egret(args, port, kind, args.seconds))
                runs.setdefault((kind, "paho Python"), []).append(paho_python(port, topic, payload, qos, args.seconds))
                if not reason:
                    runs.setdefault((kind, "paho C"), []).append(paho_c(program, folder, port, topic, payload, qos, args.seconds))
        good = True
        for (kind, who), rows in runs.items():
            middle = lambda key: statistics.median(row[key] for row in rows)
            rates = [row["messages_per_s"] for row in rows]
            written = f"{middle('write_amplification'):.2f} x" if kind == "events" and who == "egret" else "-"
            lost = sum(row.get("unsent", 0) for row in rows)
            rate = f"{statistics.median(rates):,.0f} ({min(rates):,.0f}..{max(rates):,.0f})"
            print(f"{kind:12}{who:14}{rate:>24}{middle('cpu_us_per_message'):>13.2f}{middle('bytes_per_message'):>12.0f}{written:>17}{f'   {lost} UNSENT' if lost else ''}")
            if who == "egret":
                good &= statistics.median(rates) >= GOALS[kind] and not lost
        print("\ngoals: " + ", ".join(f"{kind} {goal:,}/s" for kind, goal in GOALS.items()) + (": met" if good else ": MISSED"))
        return 0 if good else 1
    finally:
        broker.terminate()
        broker.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
