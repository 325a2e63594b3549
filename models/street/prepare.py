"""Turns a folder of the scene generator into the network's inputs: prepare.py DATASET OUT.npz [--quantizer Q]

frames.i420 (640x360) -> B'G'R' (BT.601, limited range) -> bilinear to 448x252 -> padded with 114 to 448x256, as the daemon does.
With --quantizer the frames go through H.264 (x264, constant quantizer) first, as a camera would send them.
Writes OUT.npy, u8 [n,256,448,3], and OUT.json, one list of objects per frame:
[class, x1, y1, x2, y2 (input pixels), kind] with kind 1 where the object counts and 0 where it is only not to be taken for background.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile

import cv2
import numpy as np

W, H = 640, 360
IN_W, IN_H = 448, 256
SCALE = min(IN_W / W, IN_H / H)
CLASSES = ["person", "bicycle", "car"]


def through_h264(path, quantizer=None, bitrate=None):
    """The frames after x264 and back, as a file in a temporary folder. A bit rate (kbit/s) suits frames that follow each other."""
    rate = ["pass=qual", f"quantizer={quantizer}", "key-int-max=3"] if bitrate is None else [f"bitrate={bitrate}", "key-int-max=30"]
    out = tempfile.NamedTemporaryFile(suffix=".i420", delete=False)
    subprocess.run(
        ["gst-launch-1.0", "-q", "filesrc", f"location={path}", "blocksize=345600", "!", "rawvideoparse", f"width={W}", f"height={H}",
         "format=i420", "framerate=15/1", "!", "x264enc", *rate, "speed-preset=veryfast", "threads=1",
         "tune=zerolatency", "!", "h264parse", "!", "avdec_h264", "max-threads=1", "!", "video/x-raw,format=I420", "!", "filesink",
         f"location={out.name}"],
        check=True,
    )
    return out.name


def load(folder, quantizer=None, bitrate=None):
    """Frames as a memory map [n,540,640] of I420 rows, and their truths."""
    path = pathlib.Path(folder) / "frames.i420"
    truths = [json.loads(line) for line in open(pathlib.Path(folder) / "truth.jsonl")]
    compressed = quantizer is not None or bitrate is not None
    if compressed:
        path = through_h264(path, quantizer, bitrate)
    frames = np.memmap(path, np.uint8, "r").reshape(-1, H * 3 // 2, W)
    if compressed:
        os.unlink(path)
    if len(frames) != len(truths):
        raise SystemExit(f"{folder}: {len(frames)} frames but {len(truths)} truths")
    return frames, truths


def letterbox(i420):
    bgr = cv2.cvtColor(np.ascontiguousarray(i420), cv2.COLOR_YUV2BGR_I420)
    out = np.full((IN_H, IN_W, 3), 114, np.uint8)
    out[: round(H * SCALE), : round(W * SCALE)] = cv2.resize(bgr, (round(W * SCALE), round(H * SCALE)), interpolation=cv2.INTER_LINEAR)
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("out")
    parser.add_argument("--quantizer", type=int)
    args = parser.parse_args()
    frames, truths = load(args.dataset, args.quantizer)
    images = np.lib.format.open_memmap(args.out + ".npy", "w+", np.uint8, (len(frames), IN_H, IN_W, 3))
    labels = []
    for i, (frame, truth) in enumerate(zip(frames, truths)):
        images[i] = letterbox(frame)
        objects = []
        for o in truth["objects"]:
            x1, y1, x2, y2 = o["box"]
            # A little beyond what is judged (16 px high, half visible), so that the limit itself is learned well.
            counts = o["visible"] * o["inside"] >= 0.4 and y2 - y1 >= 12
            objects.append([CLASSES.index(o["class"]), x1 * SCALE, y1 * SCALE, x2 * SCALE, y2 * SCALE, int(counts)])
        labels.append(objects)
    images.flush()
    json.dump(labels, open(args.out + ".json", "w"))
    print(f"{len(labels)} frames, {sum(o[5] for l in labels for o in l)} objects")


if __name__ == "__main__":
    main()
