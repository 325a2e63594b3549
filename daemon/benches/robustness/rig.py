"""What the robustness measurements share: simulated cameras, a broker, the daemon, a subscriber, and looks at all of them.

Everything listens on free loopback ports, lives in one temporary directory and ends with the `Rig`.
Needs Linux, mosquitto, gst-launch-1.0 with x264enc, an egret built with its default features, and paho-mqtt.
"""

import argparse
import collections
import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import paho.mqtt.client as mqtt

ROOT = pathlib.Path(__file__).resolve().parents[3]
TICKS = os.sysconf("SC_CLK_TCK")
ROW = re.compile(r"^(\w+)(?:\{([^}]*)\})? (\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--egret", type=pathlib.Path, default=ROOT / "target/release/egret", help="the binary under test")
    parser.add_argument("--simulator", type=pathlib.Path, help="an egret that has `sim`, where the one under test is a device build")
    parser.add_argument("--keep", action="store_true", help="keep the temporary directory with the logs")
    return parser


def free_port():
    """Free as far as anybody can know; mosquitto and the daemon's configuration want a number."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def percentile(values, p):
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * p // 100) - 1)] if ordered else float("nan")


def machine_cpu():
    """Busy and all CPU time of the machine in seconds, all cores together."""
    fields = [int(v) for v in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS, sum(fields) / TICKS


def process_cpu(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def process_memory(pid):
    """Threads, descriptors and resident memory in MiB."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    threads = int(re.search(r"Threads:\s+(\d+)", status)[1])
    resident = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
    return threads, len(os.listdir(f"/proc/{pid}/fd")), resident


class Metrics:
    """One scrape of /metrics."""

    def __init__(self, text):
        self.rows = collections.defaultdict(list)
        for line in text.splitlines():
            if match := ROW.match(line):
                self.rows[match[1]].append((dict(LABEL.findall(match[2] or "")), float(match[3])))

    def by(self, family, label):
        """Values added up by one label."""
        sums = collections.defaultdict(float)
        for labels, value in self.rows[family]:
            sums[labels[label]] += value
        return sums

    def state(self, camera):
        return next((l["state"] for l, v in self.rows["egret_camera_state"] if l["camera"] == camera and v == 1), None)

    def frames(self):
        """decoded, inferred, dropped, in flight by camera."""
        names = ["egret_frames_decoded_total", "egret_frames_inferred_total", "egret_frames_dropped_total", "egret_frames_in_flight"]
        families = [self.by(name, "camera") for name in names]
        return {camera: tuple(int(f[camera]) for f in families) for camera in families[0]}

    def drops(self, cameras):
        reasons = collections.Counter()
        for labels, value in self.rows["egret_frames_dropped_total"]:
            if labels["camera"] in cameras:
                reasons[labels["reason"]] += int(value)
        return +reasons


class Subscriber:
    """An ordinary MQTT subscriber. `rows[camera]`: (received at, message) of each frame message."""

    def __init__(self, port):
        self.rows = collections.defaultdict(list)
        self.lock = threading.Lock()
        ready = threading.Event()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.on_message = self._take
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_connect = lambda client, *_: client.subscribe("egret/+/cam/+/frame", qos=0)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        if not ready.wait(30):
            raise SystemExit("the broker does not answer")

    def _take(self, _client, _data, message):
        at, row = time.time(), json.loads(message.payload)
        row.pop("objects", None)
        with self.lock:
            self.rows[row["camera"]].append((at, row))

    def taken(self):
        with self.lock:
            return {camera: list(rows) for camera, rows in self.rows.items()}

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


class Daemon:
    def __init__(self, rig, config, name):
        self.http = free_port()
        file = rig.folder / f"{name}.toml"
        file.write_text(f'device = "robust"\n[mqtt]\nurl = "mqtt://127.0.0.1:{rig.broker_port}"\n[http]\nlisten = "127.0.0.1:{self.http}"\n{config}')
        self.log = rig.folder / f"{name}.log"
        self.process = rig.spawn([rig.egret, "run", "--config", file], self.log)
        self.pid = self.process.pid
        self.rig = rig
        rig.wait(lambda: self.alive() and self.metrics() is not None, "the daemon", self.log)

    def alive(self):
        if self.process.poll() is not None:
            raise SystemExit(f"the daemon ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}")
        return True

    def metrics(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=10) as answer:
                return Metrics(answer.read().decode())
        except OSError:
            return None

    def scrape(self):
        """Metrics of a daemon that must be there."""
        self.alive()
        if (metrics := self.metrics()) is None:
            raise SystemExit("the daemon does not answer /metrics")
        return metrics

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.rig.children.remove(self.process)
        if code != 0:
            raise SystemExit(f"the daemon ended with {code}:\n{self.log.read_text()[-3000:]}")


class Sim:
    """`egret sim`, told what to do by lines."""

    def __init__(self, rig, cameras, name="sim"):
        command = [rig.simulator, "sim", "--port", "0"]
        for camera, what in cameras.items():
            command += ["--camera", f"{camera}={what}"]
        self.process = rig.spawn(command, rig.folder / f"{name}.log", piped=True)
        self.pid = self.process.pid
        self.lock = threading.Lock()
        self.urls = {}
        while len(self.urls) < len(cameras):
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit(f"egret sim ended:\n{(rig.folder / f'{name}.log').read_text()[-3000:]}")
            camera, url = line.split()
            self.urls[camera] = url

    def tell(self, order):
        with self.lock:
            self.process.stdin.write(order + "\n")
            self.process.stdin.flush()
            if (answer := self.process.stdout.readline().strip()) != "ok":
                raise SystemExit(f"egret sim, told {order!r}: {answer}")


class Rig(contextlib.ExitStack):
    def __init__(self, args, broker="max_queued_messages 0\n"):
        """`broker`: lines of mosquitto's configuration."""
        super().__init__()
        self.egret = args.egret.resolve()
        self.simulator = (args.simulator or args.egret).resolve()
        for binary in {self.egret, self.simulator}:
            if not binary.exists():
                raise SystemExit(f"{binary} is not there: cargo build --release, or --egret PATH")
        self.children = []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="egret-robust-"))
        self.callback(lambda: print("kept:", self.folder) if args.keep else shutil.rmtree(self.folder, ignore_errors=True))
        self.callback(self._end)
        # SIGTERM cleans up as an exception does.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        self.broker_port = free_port()
        config = self.folder / "mosquitto.conf"
        text = f"listener {self.broker_port} 127.0.0.1\nallow_anonymous true\n{broker}"
        config.write_text(text.replace("FOLDER", str(self.folder)))
        self.start_broker()

    def start_broker(self):
        log = self.folder / "mosquitto.log"
        self.broker = self.spawn(["mosquitto", "-c", self.folder / "mosquitto.conf"], log)
        self.wait(lambda: self._answers(self.broker_port), "mosquitto", log)

    def kill(self, child):
        """SIGKILL: it learns nothing of it."""
        child.kill()
        child.wait(20)
        self.children.remove(child)

    def spawn(self, command, log, piped=False):
        pipe = subprocess.PIPE if piped else subprocess.DEVNULL
        with open(log, "ab") as out:
            child = subprocess.Popen([str(c) for c in command], stdin=pipe, stdout=pipe if piped else out, stderr=out, text=piped)
        self.children.append(child)
        return child

    def _end(self):
        for child in reversed(self.children):
            child.terminate()
        for child in self.children:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()

    @staticmethod
    def _answers(port):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False

    @staticmethod
    def wait(condition, what, log=None, patience=60):
        until = time.monotonic() + patience
        while not condition():
            if time.monotonic() > until:
                raise SystemExit(f"{what}: not within {patience} s\n{log.read_text()[-3000:] if log else ''}")
            time.sleep(0.05)

    def video(self, width, height, fps, seconds=10, pattern="ball"):
        """A small H.264 file without B-frames, coded before anything is measured, a key frame each second."""
        file = self.folder / f"{pattern}-{width}x{height}-{fps}.mp4"
        if not file.exists():
            graph = (
                f"videotestsrc num-buffers={seconds * fps} pattern={pattern} ! video/x-raw,format=I420,width={width},height={height},framerate={fps}/1"
                f" ! x264enc tune=zerolatency bframes=0 key-int-max={fps} speed-preset=veryfast bitrate=600 ! h264parse ! mp4mux ! filesink location={file}"
            )
            subprocess.run(["gst-launch-1.0", "-q", *graph.split()], check=True, stdout=subprocess.DEVNULL)
        return file


class Load:
    """CPU since it was made: our processes' and the machine's, as shares of the whole machine."""

    def __init__(self, pids):
        self.pids = pids
        self.began = self._now()

    def _now(self):
        return {pid: process_cpu(pid) for pid in self.pids}, machine_cpu()

    def shares(self):
        (ours0, (busy0, all0)), (ours, (busy, all_)) = self.began, self._now()
        whole = max(all_ - all0, 1e-9)
        return sum(ours.values()) / whole - sum(ours0.values()) / whole, (busy - busy0) / whole


def captured(row):
    return datetime.datetime.fromisoformat(row["captured_at"].replace("Z", "+00:00")).timestamp()


def describe_machine():
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return f"{os.cpu_count()} CPUs ({model[1] if model else 'unknown'}), load average before: {os.getloadavg()[0]:.1f}"


def table(header, rows):
    rows = [[str(c) for c in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths)), flush=True)
