#!/usr/bin/env python3
"""The peer of `egret bench overhead`: what the usual Python pipeline costs beside decoding and inference.

roboflow `trackers` ByteTrack follows ten moving objects, the same JSON that egret publishes per frame is built, and
paho-mqtt sends it to a broker, QoS 0. Prints one JSON line with the CPU time of the whole process per frame.
"""

import argparse
import datetime
import json
import os
import resource
import time
import uuid

import numpy as np
import paho.mqtt.client as mqtt
import supervision as sv
from trackers import ByteTrackTracker

WIDTH, HEIGHT = 1920, 1080


def all_boxes(objects: int) -> np.ndarray:
    """The boxes of egret's null detector, one whole cycle: a grid of cells, one object in each, moving within it on a triangle wave."""
    columns = max(int(np.ceil(np.sqrt(objects))), 1)
    cell_w, cell_h = WIDTH / columns, HEIGHT / max(-(-objects // columns), 1)
    i, seq = np.arange(objects)[None, :], np.arange(14200)[:, None]

    def wave(period: int) -> np.ndarray:
        at = (seq + 7 * i) % (2 * period)
        return np.minimum(at, 2 * period - at) / period

    x1 = (i % columns + 0.1 + 0.3 * wave(100)) * cell_w
    y1 = (i // columns + 0.1 + 0.3 * wave(71)) * cell_h
    return np.stack([x1, y1, x1 + 0.5 * cell_w, y1 + 0.5 * cell_h], axis=-1).astype(np.float32)


def message(camera: str, boot_id: str, seq: int, captured: float, tracked: sv.Detections) -> bytes:
    """One frame in the schema of egret's `cam/<id>/frame`."""
    now = time.time()
    iso = lambda t: datetime.datetime.fromtimestamp(t, datetime.timezone.utc).isoformat()
    objects = []
    for box, confidence, track in zip(tracked.xyxy, tracked.confidence, tracked.tracker_id):
        x1, y1, x2, y2 = (float(v) for v in box)
        objects.append({
            "class": "person",
            "confidence": round(float(confidence), 4),
            "box": [round(v, 2) for v in (x1, y1, x2, y2)],
            "box_norm": [round(x1 / WIDTH, 5), round(y1 / HEIGHT, 5), round(x2 / WIDTH, 5), round(y2 / HEIGHT, 5)],
            "track": f"{int(track):016x}" if track >= 0 else None,
        })
    latency = round((now - captured) * 1e3, 3)
    return json.dumps({
        "schema": "1", "kind": "frame", "device": "bench", "camera": camera, "boot_id": boot_id, "seq": seq, "frame": seq,
        "pts_ms": round(seq * 1000 / 30, 3), "captured_at": iso(captured), "basis": "arrival", "published_at": iso(now),
        "latency_ms": latency, "since_arrival_ms": latency, "size": [WIDTH, HEIGHT],
        "model": {"name": "null", "runtime": "null"}, "objects": objects,
    }).encode()


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--host", default="127.0.0.1")
    args.add_argument("--port", type=int, required=True)
    args.add_argument("--cameras", type=int, default=8)
    args.add_argument("--objects", type=int, default=10)
    args.add_argument("--seconds", type=float, default=10.0)
    args.add_argument("--fps", type=float, help="paced per camera; as fast as it goes if absent")
    args = args.parse_args()

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="peer-" + uuid.uuid4().hex[:8], protocol=mqtt.MQTTv5)
    client.connect(args.host, args.port)
    client.loop_start()
    boot_id = uuid.uuid4().hex
    cameras = [f"cam{i}" for i in range(args.cameras)]
    trackers = [ByteTrackTracker() for _ in cameras]
    confidence = np.array([0.9 - 0.2 * i / args.objects for i in range(args.objects)], np.float32)
    boxes = all_boxes(args.objects)
    classes = np.zeros(args.objects, int)

    def step(camera: int, seq: int):
        captured = time.time()
        detections = sv.Detections(xyxy=boxes[seq % len(boxes)], confidence=confidence, class_id=classes)
        tracked = trackers[camera].update(detections)
        topic = f"egret/bench/cam/{cameras[camera]}/frame"
        return client.publish(topic, message(cameras[camera], boot_id, seq, captured, tracked), qos=0)

    def run(seconds: float, start_seq: int) -> int:
        frames, end, begin = 0, time.monotonic() + seconds, time.monotonic()
        last = None
        while time.monotonic() < end:
            seq, camera = divmod(frames, len(cameras))
            if args.fps:
                due = begin + (seq + camera / len(cameras)) / args.fps
                time.sleep(max(0.0, due - time.monotonic()))
            last = step(camera, start_seq + seq)
            frames += 1
        if last is not None:
            last.wait_for_publish(10)
        return frames

    warm = run(min(2.0, args.seconds / 4), 0)
    before, begin = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    frames = run(args.seconds, warm)
    after, wall = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - begin
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({
        "peer": "trackers ByteTrack + paho-mqtt", "pid": os.getpid(), "frames": frames, "frames_per_s": round(frames / wall, 1),
        "cpu_us_per_frame": round(cpu / frames * 1e6, 2), "sleeps_per_frame": round((after.ru_nvcsw - before.ru_nvcsw) / frames, 3),
        "peak_rss_mb": round(after.ru_maxrss / 1024, 1),
    }))
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
