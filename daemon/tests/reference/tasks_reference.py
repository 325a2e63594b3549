#!/usr/bin/env python3
"""The published way to run networks that are no detectors, plainly: what the daemon's path is compared with.

Pre-processing of torchvision and torchreid, with cv2.INTER_LINEAR: the region (whole pixels that the box touches) is stretched to
the input, or the shorter side is resized to side/fraction and the middle cut out; RGB, /255, ImageNet's mean and deviation.
With "exact" the same is done in floats: nothing is rounded to whole levels before the network sees it.
Post-processing: softmax for classifiers and clips, L2 for embeddings, the best class per pixel for segmentation.

  networks FOLDER   writes networks of the exact shapes of ResNet50, DeepLab and R(2+1)D with random weights
  run FOLDER        frames.i420 + index.json + jobs.json -> results.json

Needs numpy, opencv-python-headless, onnxruntime; `networks` needs onnx.
"""

import json
import math
import pathlib
import sys

import numpy as np

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def networks(folder):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(7)

    def save(name, shape, output, nodes, weights):
        weights = [numpy_helper.from_array((random.standard_normal(s) * scale).astype(np.float32), n) for n, s, scale in weights]
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *shape])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", *output])],
            weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, folder / f"{name}.onnx")

    pooled = [helper.make_node("Relu", ["c"], ["r"]), helper.make_node("GlobalAveragePool", ["r"], ["p"]),
              helper.make_node("Flatten", ["p"], ["f"]), helper.make_node("Gemm", ["f", "w", "b"], ["output"])]
    stem = helper.make_node("Conv", ["input", "k"], ["c"], strides=[2, 2], pads=[3, 3, 3, 3])
    save("resnet50", (3, 224, 224), (1000,), [stem, *pooled], [("k", (64, 3, 7, 7), 0.2), ("w", (64, 1000), 1.0), ("b", (1000,), 0.5)])
    stem = helper.make_node("Conv", ["input", "k"], ["c"], strides=[1, 2, 2], pads=[1, 3, 3, 1, 3, 3])
    save("r2plus1d", (3, 8, 112, 112), (400,), [stem, *pooled], [("k", (45, 3, 3, 7, 7), 0.2), ("w", (45, 400), 1.0), ("b", (400,), 0.5)])
    layers = [helper.make_node("Conv", ["input", "k"], ["output"], strides=[8, 8], pads=[0, 0, 0, 0])]
    save("deeplab", (3, 256, 256), (21, 32, 32), layers, [("k", (21, 3, 8, 8), 0.1)])


def prepare(picture, job):
    """picture: uint8[h,w,3] or float32[h,w,3] RGB -> float32[3,H,W]"""
    import cv2

    if job["box"]:
        x1, y1, x2, y2 = job["box"]
        h, w = picture.shape[:2]
        picture = picture[math.floor(max(y1, 0)) : min(math.ceil(y2), h), math.floor(max(x1, 0)) : min(math.ceil(x2), w)]
    width, height = job["width"], job["height"]
    if job["fraction"]:
        h, w = picture.shape[:2]
        shorter = round(width / job["fraction"])
        size = (shorter, int(shorter * h / w)) if w <= h else (int(shorter * w / h), shorter)
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        left, top = round((size[0] - width) / 2.0), round((size[1] - height) / 2.0)
        picture = picture[top : top + height, left : left + width]
    else:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    normal = (np.clip(picture, 0, 255).astype(np.float32) / np.float32(255) - MEAN) / STD
    return np.ascontiguousarray(normal.transpose(2, 0, 1))


def softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def run(folder):
    import cv2
    import onnxruntime

    index = json.loads((folder / "index.json").read_text())["frames"]
    data = np.fromfile(folder / "frames.i420", np.uint8)
    sessions, results = {}, []

    def picture(number, exact):
        frame = index[number]
        w, h = frame["width"], frame["height"]
        i420 = data[frame["offset"] : frame["offset"] + w * h * 3 // 2].reshape(h * 3 // 2, w)
        if not exact:
            return cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420)
        # BT.601, studio range, a chroma sample for 2x2 pixels.
        y = (i420[:h].astype(np.float64) - 16) / 219
        u, v = (i420[h:].reshape(2, h // 2, w // 2).astype(np.float64).repeat(2, 1).repeat(2, 2) - 128) / 224
        red, blue = y + 1.402 * v, y + 1.772 * u
        return np.stack((red, (y - 0.299 * red - 0.114 * blue) / 0.587, blue), 2).astype(np.float32) * np.float32(255)

    for job in json.loads((folder / "jobs.json").read_text()):
        session = sessions.setdefault(job["model"], onnxruntime.InferenceSession(job["model"], providers=["CPUExecutionProvider"]))
        pictures = [prepare(picture(number, job["exact"]), job) for number in job["frames"]]
        tensor = np.stack(pictures, 1) if job["task"] == "clip" else pictures[0]
        output = session.run(None, {session.get_inputs()[0].name: tensor[None]})[0][0]
        if job["task"] == "embed":
            output = output / np.linalg.norm(output)
        elif job["task"] == "semantic":
            output = np.bincount(output.argmax(0).ravel(), minlength=output.shape[0]) / output[0].size
        else:
            output = softmax(output)
        results.append([float(value) for value in output])
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    {"networks": networks, "run": run}[sys.argv[1]](pathlib.Path(sys.argv[2]))
