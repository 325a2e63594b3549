#!/usr/bin/env python3
"""How long until a daemon that is started is ready, and until it publishes the first detection of each camera?

Simulated street cameras go on all the while, as real ones do; the daemon is started again and again. Between it and each camera stands a
relay that passes every byte on and looks for the first packet of the first key picture (H.264, IDR; in RTP over the RTSP connection).

  start to ready         from before the process is made to READY=1 (sd_notify, to a socket of this script's)
  key picture, detected  from the later of READY=1 and the key picture's first packet to the subscriber having a frame message with an
                         object in it; the slowest camera of a run
  message                likewise to the first frame message at all

Every other start is one without GStreamer's list of plug-ins and anything else that is kept between starts (empty HOME and caches): the
first start after an installation. Files stay in the system's page cache in either case. The verdict holds medians against the goals.
"""

import json
import os
import pathlib
import shutil
import socket
import statistics
import sys
import threading
import time

from rig import ROOT, Daemon, Rig, Sim, Subscriber, arguments, describe_machine, table

READY_GOAL, DETECTED_GOAL = 1.0, 0.2
IDR, STAP_A, FU_A = 5, 24, 28


def is_key(packet):
    """Whether an RTP packet of H.264 begins a slice of a key picture."""
    at = 12 + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        at += 4 + 4 * int.from_bytes(packet[at + 2 : at + 4], "big")
    kind = packet[at] & 0x1F
    if kind == FU_A:
        return packet[at + 1] & 0x80 != 0 and packet[at + 1] & 0x1F == IDR
    if kind == STAP_A:
        at += 1
        while at + 2 < len(packet):
            if packet[at + 2] & 0x1F == IDR:
                return True
            at += 2 + int.from_bytes(packet[at : at + 2], "big")
        return False
    return kind == IDR


def whole(data):
    """Length of the first RTSP message or interleaved packet of the bytes; none if it is not complete."""
    if data[:1] == b"$":
        length = 4 + int.from_bytes(data[2:4], "big") if len(data) >= 4 else None
    else:
        head = data.find(b"\r\n\r\n")
        lines = data[:head].decode("latin-1").lower().split("\r\n") if head >= 0 else []
        body = sum(int(line.split(":")[1]) for line in lines if line.startswith("content-length:"))
        length = head + 4 + body if head >= 0 else None
    return length if length and length <= len(data) else None


class Relay:
    """Passes the connections of one camera on. `key`: when the first packet of a key picture passed since `reset`."""

    def __init__(self, url):
        host, self.path = url.removeprefix("rtsp://").split("/", 1)
        name, port = host.rsplit(":", 1)
        self.camera = (name, int(port))
        self.key = None
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self.server.getsockname()[1]}/{self.path}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self.server.accept()
            camera = socket.create_connection(self.camera)
            for end in (client, camera):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._pass, args=(client, camera, None), daemon=True).start()
            threading.Thread(target=self._pass, args=(camera, client, bytearray()), daemon=True).start()

    def _pass(self, source, sink, seen):
        try:
            while data := source.recv(65536):
                at = time.monotonic()
                sink.sendall(data)
                if seen is not None and self.key is None:
                    self._look(seen, data, at)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _look(self, seen, data, at):
        seen += data
        while length := whole(seen):
            # Even channels hold RTP, odd ones RTCP.
            if seen[0] == ord("$") and seen[1] % 2 == 0 and is_key(seen[4:length]):
                self.key = at
                return
            del seen[:length]


class First(Subscriber):
    """When each camera's first frame message came, and the first with an object."""

    def __init__(self, port):
        self.message, self.detected = {}, {}
        super().__init__(port)

    def _take(self, _client, _data, message):
        at, row = time.monotonic(), json.loads(message.payload)
        with self.lock:
            self.message.setdefault(row["camera"], at)
            if row["objects"]:
                self.detected.setdefault(row["camera"], at)


def one(rig, args, relays, name):
    home = rig.folder / ("home-" + ("first" if name.startswith("first") else "later"))
    if name.startswith("first"):
        shutil.rmtree(home, ignore_errors=True)
    home.mkdir(exist_ok=True)
    os.environ.update(HOME=str(home), XDG_CACHE_HOME=str(home / "cache"), XDG_STATE_HOME=str(home / "state"))
    runtime = f'[runtime]\nonnxruntime_library = "{args.onnxruntime.resolve()}"\n' if args.onnxruntime else ""
    text = f'{runtime}[[model]]\nname = "street"\nfile = "{args.model.resolve()}"\n'
    for camera, relay in relays.items():
        relay.key = None
        text += f'[[camera]]\nname = "{camera}"\nurl = "{relay.url}"\n'
    subscriber = First(rig.broker_port)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        path = rig.folder / f"notify-{name}"
        notify.bind(str(path))
        notify.settimeout(60)
        os.environ["NOTIFY_SOCKET"] = str(path)
        ready = []

        def listen():
            while not ready:
                if b"READY=1" in notify.recv(4096).split(b"\n"):
                    ready.append(time.monotonic())

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        began = time.monotonic()
        daemon = Daemon(rig, text, name)
        rig.wait(lambda: daemon.alive() and ready and len(subscriber.detected) == len(relays), "a detection of each camera", daemon.log)
        del os.environ["NOTIFY_SOCKET"]
        daemon.stop()
    subscriber.close()
    since = {camera: max(ready[0], relay.key) for camera, relay in relays.items()}
    return {
        "ready": ready[0] - began,
        "key": max(relay.key for relay in relays.values()) - ready[0],
        "message": max(subscriber.message[camera] - at for camera, at in since.items()),
        "detected": max(subscriber.detected[camera] - at for camera, at in since.items()),
    }


def main():
    parser = arguments(__doc__)
    parser.add_argument("--starts", type=int, default=10, help="of each kind")
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--fps", type=int, default=10)
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/street/street.onnx")
    parser.add_argument("--onnxruntime", type=pathlib.Path, help="the library; default: the built-in runtime")
    args = parser.parse_args()
    os.environ.pop("ORT_DYLIB_PATH", None)
    print(describe_machine())
    with Rig(args) as rig:
        sim = Sim(rig, {f"c{i}": f"scene,seed={7 + i},size={args.size},fps={args.fps}" for i in range(args.cameras)})
        relays = {camera: Relay(url) for camera, url in sim.urls.items()}
        print(f"{args.cameras} street cameras, {args.size} at {args.fps} fps, a key picture each second; {args.starts} starts of each kind\n")
        header = ["start", "start to ready ms", "ready to key picture ms", "to message ms", "to detection ms"]
        keys = ["ready", "key", "message", "detected"]
        table(header, [])
        runs = {"first": [], "later": []}
        # What every start reads is in the page cache from here on.
        one(rig, args, relays, "later-0")
        for number in range(1, args.starts + 1):
            for kind, list_ in runs.items():
                run = one(rig, args, relays, f"{kind}-{number}")
                list_.append(run)
                cells = [f"{kind} {number}", *(f"{1000 * run[key]:.0f}" for key in keys)]
                print("  ".join(cell.rjust(len(head)) for cell, head in zip(cells, header)), flush=True)
    print()
    good = True
    for kind, list_ in runs.items():
        told = []
        for key in keys:
            values = sorted(1000 * run[key] for run in list_)
            told.append(f"{statistics.median(values):.0f} ({values[0]:.0f} to {values[-1]:.0f})")
        print(f"{kind}: ready {told[0]} ms; key picture {told[1]} ms after that; message {told[2]} ms, detection {told[3]} ms after both")
        good &= statistics.median(run["ready"] for run in list_) <= READY_GOAL
        good &= statistics.median(run["detected"] for run in list_) <= DETECTED_GOAL
    print(f"load average after: {os.getloadavg()[0]:.1f}; goals: ready within {READY_GOAL:g} s, detection within {1000 * DETECTED_GOAL:g} ms: {'kept' if good else 'MISSED'}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
