#!/usr/bin/env python3
"""The peer of `egret bench pipeline`: the usual Python pipeline over the same files.

OpenCV reads and decodes, its resize makes the letterbox, ONNX Runtime runs YOLOX, NumPy decodes the boxes, ByteTrack
(supervision's, or roboflow's `trackers`) follows, paho-mqtt publishes JSON. One thread per stream, one shared session.
Prints one JSON line with the CPU time of the whole process per frame, and its peak resident memory.
"""

import argparse
import json
import resource
import threading
import time
import uuid

import cv2
import numpy as np
import onnxruntime as ort
import paho.mqtt.client as mqtt
import supervision as sv

SIZE = 416


def letterbox(image: np.ndarray) -> tuple[np.ndarray, float]:
    """YOLOX's: scaled to fit, top left, grey 114 elsewhere, BGR, 0..255."""
    ratio = min(SIZE / image.shape[0], SIZE / image.shape[1])
    resized = cv2.resize(image, (int(image.shape[1] * ratio), int(image.shape[0] * ratio)), interpolation=cv2.INTER_LINEAR)
    padded = np.full((SIZE, SIZE, 3), 114, np.uint8)
    padded[: resized.shape[0], : resized.shape[1]] = resized
    return np.ascontiguousarray(padded.transpose(2, 0, 1), np.float32)[None], ratio


def grid() -> tuple[np.ndarray, np.ndarray]:
    cells, strides = [], []
    for stride in (8, 16, 32):
        n = SIZE // stride
        x, y = np.meshgrid(np.arange(n), np.arange(n))
        cells.append(np.stack([x, y], 2).reshape(-1, 2))
        strides.append(np.full((n * n, 1), stride))
    return np.concatenate(cells), np.concatenate(strides)


CELLS, STRIDES = grid()


def decode(output: np.ndarray, ratio: float, confidence: float, iou: float) -> sv.Detections:
    output = output[0]
    scores = output[:, 4:5] * output[:, 5:]
    classes = scores.argmax(1)
    best = scores[np.arange(len(scores)), classes]
    keep = best >= confidence
    if not keep.any():
        return sv.Detections.empty()
    centre = (output[keep, :2] + CELLS[keep]) * STRIDES[keep]
    size = np.exp(output[keep, 2:4]) * STRIDES[keep]
    boxes = np.concatenate([centre - size / 2, centre + size / 2], 1) / ratio
    found = sv.Detections(xyxy=boxes.astype(np.float32), confidence=best[keep], class_id=classes[keep])
    return found.with_nms(iou)


def make_tracker(kind: str):
    if kind == "supervision":
        tracker = sv.ByteTrack()
        return tracker.update_with_detections
    from trackers import ByteTrackTracker
    return ByteTrackTracker().update


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--file", required=True)
    args.add_argument("--model", required=True)
    args.add_argument("--cameras", type=int, default=1)
    args.add_argument("--frames", type=int, default=300, help="measured frames of each stream")
    args.add_argument("--warm-up", type=int, default=20, help="frames of each stream before that")
    args.add_argument("--threads", type=int, default=1, help="of ONNX Runtime; 0: its default")
    args.add_argument("--tracker", choices=["supervision", "trackers"], default="supervision")
    args.add_argument("--confidence", type=float, default=0.3)
    args.add_argument("--host", default="127.0.0.1")
    args.add_argument("--port", type=int, required=True)
    args = args.parse_args()

    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = ort.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="peer-" + uuid.uuid4().hex[:8], protocol=mqtt.MQTTv5)
    client.connect(args.host, args.port)
    client.loop_start()
    warm, measured = threading.Barrier(args.cameras + 1), threading.Barrier(args.cameras + 1)
    objects = [0] * args.cameras

    def run(camera: int) -> None:
        capture = cv2.VideoCapture(args.file)
        track = make_tracker(args.tracker)
        for seq in range(args.warm_up + args.frames):
            if seq == args.warm_up:
                warm.wait()
            ok, image = capture.read()
            if not ok:
                capture.release()
                capture = cv2.VideoCapture(args.file)
                ok, image = capture.read()
            captured = time.time()
            tensor, ratio = letterbox(image)
            output = session.run(None, {name: tensor})[0]
            tracked = track(decode(output, ratio, args.confidence, 0.45))
            height, width = image.shape[:2]
            ids = tracked.tracker_id if tracked.tracker_id is not None else [-1] * len(tracked)
            found = [
                {"class": int(c), "confidence": round(float(s), 4), "box": [round(float(v), 2) for v in box],
                 "box_norm": [round(float(v / n), 5) for v, n in zip(box, (width, height, width, height))],
                 "track": f"{int(i):016x}" if i >= 0 else None}
                for box, s, c, i in zip(tracked.xyxy, tracked.confidence, tracked.class_id, ids)
            ] if len(tracked) else []
            objects[camera] += len(found)
            client.publish(f"peer/cam{camera}/frame", json.dumps({
                "camera": f"cam{camera}", "seq": seq, "captured_at": captured, "published_at": time.time(),
                "size": [width, height], "objects": found,
            }), qos=0)
        measured.wait()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(args.cameras)]
    for thread in threads:
        thread.start()
    warm.wait()
    before, begin = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    measured.wait()
    after, wall = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - begin
    for thread in threads:
        thread.join()
    frames = args.cameras * args.frames
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({
        "peer": f"OpenCV + onnxruntime ({args.threads or 'default'} threads) + {args.tracker} ByteTrack + paho-mqtt",
        "cameras": args.cameras, "frames": frames, "frames_per_s": round(frames / wall, 2),
        "cpu_ms_per_frame": round(cpu / frames * 1e3, 3), "peak_rss_mb": round(after.ru_maxrss / 1024, 1),
        "objects_per_frame": round(sum(objects) / (args.cameras * (args.frames + args.warm_up)), 2),
    }))
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
