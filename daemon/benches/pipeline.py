#!/usr/bin/env python3
"""How much of the CPU's work is decoding and inference: the whole daemon at saturation over H.264 files, every frame.

For 1, 4 and 8 cameras, in turns, in one run:
  decode    GStreamer alone (`filesrc ! qtdemux ! h264parse ! avdec_h264 max-threads=1 ! fakesink`), one process
  network   ONNX Runtime alone on a ready tensor, single-threaded sessions, as many at once as the daemon has workers
  egret     `egret run` with the same files, the same network and a broker: CPU, frames from /metrics, peak memory
  peer      peers/pipeline.py, with one runtime thread and with the runtime's default
efficiency = (decode x frames decoded + network x frames inferred) / CPU of the whole. Prints each measurement as a JSON
line and then a table of medians. The interpreter needs onnxruntime, numpy, opencv, supervision and paho-mqtt.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TICK = os.sysconf("SC_CLK_TCK")


def make_video(path: pathlib.Path, data: pathlib.Path) -> None:
    """36 s of 1080p30, H.264 High, 4 Mb/s: a street if the shared data is there, else GStreamer's moving test picture."""
    street = data / "video" / "street_cars.mp4"
    if street.exists():
        source = f"filesrc location={street} ! decodebin"
    else:
        print(f"no {street}: a test picture instead", file=sys.stderr)
        source = "videotestsrc pattern=ball num-buffers=1080 ! video/x-raw,framerate=30/1"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    subprocess.run(
        ["gst-launch-1.0", "-q", *f"{source} ! videoconvert ! videoscale ! "
         "video/x-raw,format=I420,width=1920,height=1080,pixel-aspect-ratio=1/1 ! x264enc bitrate=4000 key-int-max=60 "
         f"speed-preset=veryfast ! video/x-h264,profile=high ! h264parse ! mp4mux ! filesink location={part}".split()],
        check=True)
    part.rename(path)


def child(command: list[str]) -> tuple[float, float]:
    """CPU seconds and peak resident MB of a child that runs to its end."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[0]} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def decode(video: pathlib.Path, cameras: int, frames: int) -> dict:
    """Decoding alone: the difference of a long and a short run, so that starting up does not count."""
    def run(count: int) -> tuple[float, float]:
        one = (f"filesrc location={video} ! qtdemux ! h264parse ! avdec_h264 max-threads=1 ! "
               f"identity eos-after={count} ! fakesink sync=false").split()
        return child(["gst-launch-1.0", "-q", *one * cameras])
    short, _ = run(30)
    long, rss = run(30 + frames)
    return {"part": "decode", "cameras": cameras, "cpu_ms_per_frame": (long - short) / (cameras * frames) * 1e3, "peak_rss_mb": rss}


def network(model: pathlib.Path, workers: int, runs: int) -> dict:
    """The network alone, `workers` single-threaded sessions at once."""
    import numpy as np
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions = [ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"]) for _ in range(workers)]
    tensor = np.random.default_rng(1).uniform(0, 255, (1, 3, 416, 416)).astype(np.float32)
    feed = {sessions[0].get_inputs()[0].name: tensor}

    def each(session: ort.InferenceSession, count: int) -> None:
        for _ in range(count):
            session.run(None, feed)

    def together(count: int) -> None:
        threads = [threading.Thread(target=each, args=(session, count)) for session in sessions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    together(5)
    before = resource.getrusage(resource.RUSAGE_SELF)
    together(runs)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"part": "network", "workers": workers, "cpu_ms_per_frame": cpu / (workers * runs) * 1e3}


class Daemon:
    """`egret run` over files that never end, and what it says of itself."""

    def __init__(self, binary: pathlib.Path, work: pathlib.Path, args, broker: int, cameras: int, max_batch: int):
        config = f"""device = "bench"
[log]
format = "text"
[mqtt]
url = "mqtt://127.0.0.1:{broker}"
client_id = "egret-bench"
[http]
listen = "127.0.0.1:0"
[[model]]
name = "yolox"
file = "{args.model}"
max_batch = {max_batch}
workers = {args.workers}
"""
        for i in range(cameras):
            config += f'[[camera]]\nname = "cam{i}"\nurl = "file:{args.video}"\nrepeat = true\nrealtime = false\nevery_frame = true\n'
        path = work / "egret.toml"
        path.write_text(config)
        self.log = open(work / "egret.log", "w+")
        environment = {**os.environ, **({"EGRET_ONNXRUNTIME": args.onnxruntime} if args.onnxruntime else {})}
        self.process = subprocess.Popen([binary, "run", "--config", path], stderr=self.log, env=environment)
        self.address = None

    def text(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def metrics(self) -> dict[str, float]:
        if self.process.poll() is not None:
            raise SystemExit("egret ended:\n" + self.text())
        if self.address is None:
            found = re.search(r"(127\.0\.0\.1:\d+).* are served|are served.*(127\.0\.0\.1:\d+)", self.text())
            if not found:
                return {}
            self.address = f"http://{found[1] or found[2]}/metrics"
        totals: dict[str, float] = {}
        with urllib.request.urlopen(self.address, timeout=10) as reply:
            for line in reply.read().decode().splitlines():
                if line and not line.startswith("#"):
                    name, value = line.rsplit(" ", 1)
                    totals[name.split("{")[0]] = totals.get(name.split("{")[0], 0.0) + float(value)
        return totals

    def reading(self) -> dict[str, float]:
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return {**self.metrics(), "cpu": (int(fields[11]) + int(fields[12])) / TICK, "at": time.monotonic()}

    def until(self, inferred: float) -> dict[str, float]:
        while True:
            reading = self.reading()
            if reading.get("egret_frames_inferred_total", 0) >= inferred:
                return reading
            time.sleep(0.2)

    def stop(self) -> float:
        if self.process.poll() is not None:
            raise SystemExit("egret ended:\n" + self.text())
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
        self.process.terminate()
        self.process.wait(30)
        return peak


def egret(args, work: pathlib.Path, broker: int, cameras: int, max_batch: int = 1, frames: int | None = None) -> dict:
    frames = frames or args.frames
    daemon = Daemon(args.egret, work, args, broker, cameras, max_batch)
    try:
        begin = daemon.until(cameras * 20)
        end = daemon.until(begin["egret_frames_inferred_total"] + cameras * frames)
    finally:
        peak = daemon.stop()
    used = {key: end[key] - begin.get(key, 0.0) for key in end}
    decoded, inferred = used["egret_frames_decoded_total"], used["egret_frames_inferred_total"]
    return {"part": "egret", "cameras": cameras, "max_batch": max_batch, "decoded": decoded, "inferred": inferred,
            "cpu_s": used["cpu"], "cpu_ms_per_frame": used["cpu"] / inferred * 1e3, "frames_per_s": inferred / used["at"],
            "fill": inferred / (used["egret_batches_total"] * max_batch), "peak_rss_mb": peak}


def peer(args, broker: int, cameras: int, threads: int) -> dict:
    done = subprocess.run(
        [sys.executable, HERE / "peers" / "pipeline.py", "--file", args.video, "--model", args.model, "--cameras", str(cameras),
         "--frames", str(args.frames), "--threads", str(threads), "--port", str(broker)], check=True, capture_output=True, text=True)
    return {"part": f"peer{threads}", **json.loads(done.stdout.splitlines()[-1])}


def broker(work: pathlib.Path) -> tuple[subprocess.Popen, int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = work / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen(["mosquitto", "-c", config], stderr=subprocess.DEVNULL)
    while process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, port
        time.sleep(0.05)
    raise SystemExit("mosquitto does not start")


def main() -> None:
    data = pathlib.Path(os.environ.get("EGRET_TEST_DATA", ROOT.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--egret", default=ROOT / "target" / "release" / "egret")
    parser.add_argument("--onnxruntime", help="libonnxruntime.so; default: where egret looks itself")
    parser.add_argument("--video", type=pathlib.Path, default=ROOT / "target" / "bench" / "street1080.mp4")
    parser.add_argument("--model", type=pathlib.Path, default=data / "models" / "yolox_nano.onnx")
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--frames", type=int, default=200, help="measured frames of each camera")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true")
    args = parser.parse_args()
    args.video, args.model = args.video.resolve(), args.model.resolve()
    if not args.video.exists():
        make_video(args.video, data)

    measured: list[dict] = []

    def note(result: dict) -> dict:
        measured.append(result)
        print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in result.items()}), flush=True)
        return result

    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        process, port = broker(work)
        try:
            for _ in range(args.rounds):
                for cameras in args.cameras:
                    alone = note(decode(args.video, cameras, args.frames)), note(network(args.model, args.workers, 40))
                    whole = note(egret(args, work, port, cameras))
                    floor = alone[0]["cpu_ms_per_frame"] * whole["decoded"] + alone[1]["cpu_ms_per_frame"] * whole["inferred"]
                    note({"part": "efficiency", "cameras": cameras, "value": floor / 1e3 / whole["cpu_s"]})
                    if not args.no_peer:
                        for threads in (1, 0):
                            other = note(peer(args, port, cameras, threads))
                            note({"part": f"ratio{threads}", "cameras": cameras, "value": whole["cpu_ms_per_frame"] / other["cpu_ms_per_frame"]})
            note({**egret(args, work, port, 1, max_batch=16, frames=1600), "part": "one file at batch 16"})
        finally:
            process.terminate()
            process.wait()

    def median(part: str, cameras: int, key: str) -> float:
        values = [m[key] for m in measured if m["part"] == part and m.get("cameras", cameras) == cameras]
        return statistics.median(values) if values else float("nan")

    print(f"\n{'cameras':>8}{'decode':>9}{'network':>9}{'egret':>9}{'effic.':>8}{'peer 1':>9}{'ratio':>7}{'peer dflt':>10}{'ratio':>7}"
          f"   peak MB: {'decode':>7}{'egret':>7}{'peer':>7}   (CPU ms per frame, medians)")
    for n in args.cameras:
        print(f"{n:>8}{median('decode', n, 'cpu_ms_per_frame'):>9.2f}{median('network', n, 'cpu_ms_per_frame'):>9.2f}"
              f"{median('egret', n, 'cpu_ms_per_frame'):>9.2f}{median('efficiency', n, 'value'):>8.3f}"
              f"{median('peer1', n, 'cpu_ms_per_frame'):>9.2f}{median('ratio1', n, 'value'):>7.2f}"
              f"{median('peer0', n, 'cpu_ms_per_frame'):>10.2f}{median('ratio0', n, 'value'):>7.2f}"
              f"            {median('decode', n, 'peak_rss_mb'):>7.0f}{median('egret', n, 'peak_rss_mb'):>7.0f}{median('peer1', n, 'peak_rss_mb'):>7.0f}")
    print(f"one file at batch 16: {median('one file at batch 16', 1, 'fill'):.3f} full")


if __name__ == "__main__":
    main()
