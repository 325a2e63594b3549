#!/usr/bin/env python3
"""The published way to run YOLOX, plainly: what the daemon's detector is compared with.

Pre-processing (YOLOX `data_augment.preproc`): resize with one ratio by cv2.INTER_LINEAR, place at the top left, pad with 114.
Post-processing (YOLOX `demo_postprocess` and `utils.boxes.postprocess`): decode the grids of strides 8, 16 and 32, score =
objectness x best class, threshold, suppress per class.

  images  JPEGs -> I420 frames (BT.601, limited range), sides cut to even lengths
  detect  I420 frames -> detections, and on request the input tensors

Needs numpy, opencv-python-headless and onnxruntime.
"""

import argparse
import contextlib
import json
import pathlib

import numpy as np

PAD = 114


def letterbox(image, size):
    """image: uint8[h,w,3] BGR -> float32[3,H,W], ratio"""
    import cv2

    padded = np.full((size[0], size[1], 3), PAD, dtype=np.uint8)
    ratio = min(size[0] / image.shape[0], size[1] / image.shape[1])
    width, height = int(image.shape[1] * ratio), int(image.shape[0] * ratio)
    padded[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(padded.transpose(2, 0, 1), dtype=np.float32), ratio


def decode(output, size):
    """output: float32[A,5+C] -> the same with (cx, cy, w, h) in input pixels"""
    grids, strides = [], []
    for stride in (8, 16, 32):
        rows, columns = size[0] // stride, size[1] // stride
        xs, ys = np.meshgrid(np.arange(columns), np.arange(rows))
        grids.append(np.stack((xs, ys), 2).reshape(-1, 2))
        strides.append(np.full((rows * columns, 1), stride))
    grids, strides = np.concatenate(grids), np.concatenate(strides)
    output = output.copy()
    output[:, :2] = (output[:, :2] + grids) * strides
    output[:, 2:4] = np.exp(output[:, 2:4]) * strides
    return output


def suppress(boxes, scores, threshold):
    """Greedy suppression of one class. Returns the indices that stay."""
    order, kept = np.argsort(-scores, kind="stable"), []
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[order, :2])
        high = np.minimum(boxes[best, 2:], boxes[order, 2:])
        inter = np.prod(np.clip(high - low, 0, None), axis=1)
        order = order[inter / (areas[best] + areas[order] - inter) <= threshold]
    return kept


def postprocess(output, size, ratio, confidence, nms):
    rows = decode(output, size)
    classes = rows[:, 5:].argmax(1)
    scores = rows[:, 4] * rows[np.arange(len(rows)), 5 + classes]
    keep = scores >= confidence
    rows, classes, scores = rows[keep], classes[keep], scores[keep]
    half = rows[:, 2:4] / 2
    boxes = np.concatenate((rows[:, :2] - half, rows[:, :2] + half), 1) / ratio
    found = []
    for label in np.unique(classes):
        (of_class,) = np.nonzero(classes == label)
        for i in of_class[suppress(boxes[of_class], scores[of_class], nms)]:
            found.append({"class": int(label), "score": float(scores[i]), "bbox": [float(v) for v in boxes[i]]})
    return sorted(found, key=lambda d: -d["score"])


def read_frames(folder):
    index = json.loads((folder / "index.json").read_text())
    data = np.memmap(folder / "frames.i420", dtype=np.uint8, mode="r")
    for frame in index["frames"]:
        width, height = frame["width"], frame["height"]
        length = width * height * 3 // 2
        yield frame["name"], data[frame["offset"] : frame["offset"] + length].reshape(height * 3 // 2, width)


def detect(args):
    import cv2
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(args.model), options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    size = tuple(entry.shape[2:])
    tensors = open(args.folder / "tensors.f32", "wb") if args.tensors else contextlib.nullcontext()
    result = {"versions": {m.__name__: m.__version__ for m in (np, cv2, onnxruntime)}, "frames": []}
    with tensors:
        for name, i420 in read_frames(args.folder):
            tensor, ratio = letterbox(cv2.cvtColor(np.ascontiguousarray(i420), cv2.COLOR_YUV2BGR_I420), size)
            if args.tensors:
                tensors.write(tensor.tobytes())
            (output,) = session.run(None, {entry.name: tensor[None]})
            found = postprocess(output[0], size, ratio, args.confidence, args.nms)
            result["frames"].append({"name": name, "detections": found})
    (args.folder / "reference.json").write_text(json.dumps(result))


def images(args):
    import cv2

    frames, offset = [], 0
    with open(args.folder / "frames.i420", "wb") as out:
        for path in sorted(args.images.glob("*.jpg")):
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            image = np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])
            i420 = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
            out.write(i420.tobytes())
            frames.append({"name": path.name, "width": image.shape[1], "height": image.shape[0], "offset": offset})
            offset += i420.size
    (args.folder / "index.json").write_text(json.dumps({"frames": frames}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("images")
    command.add_argument("folder", type=pathlib.Path)
    command.add_argument("--images", type=pathlib.Path, required=True)
    command.set_defaults(run=images)
    command = commands.add_parser("detect")
    command.add_argument("folder", type=pathlib.Path)
    command.add_argument("--model", type=pathlib.Path, required=True)
    command.add_argument("--confidence", type=float, required=True)
    command.add_argument("--nms", type=float, required=True)
    command.add_argument("--tensors", action="store_true")
    command.set_defaults(run=detect)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
