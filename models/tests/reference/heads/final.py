"""Outputs whose boxes are final."""

import numpy as np

from pictures import F, Scene
from suppression import corners, listed


def end_to_end(out):
    """YOLOv10 and YOLO26 (`v10postprocess`, `Detect.postprocess`): the best 300, which the reader cuts at the confidence."""
    size, classes = (640, 640), 80

    def rows(seed):
        scene = Scene(seed, size, classes)
        table = np.zeros((300, 6), F)
        for i, (_, label, score, box) in enumerate(scene.predictions(1)):
            table[i] = [*corners(box[None])[0], score, label]
        rest = len(scene.objects)
        table[rest:, :4] = np.sort(scene.rng.uniform(0, 640, (300 - rest, 4)), 1)[:, [0, 1, 2, 3]]
        table[rest:, 4] = scene.noise(300 - rest)
        table[rest:, 5] = scene.rng.integers(0, classes, 300 - rest)
        return table[np.argsort(-table[:, 4], kind="stable")]

    tables = [rows(seed) for seed in (31, 32, 33)]
    found = [listed(t[:, 5], t[:, 4], t[:, :4]) for t in (t[t[:, 4] > F(0.25)] for t in tables)]
    out.case("YOLOv10/26 end-to-end", {"kind": "end-to-end"}, size, classes, {"output0": tables}, found)

    # YOLOv7 with its suppression inside: the rows of all pictures, each with its picture's number.
    numbered = [np.concatenate((np.full((len(t), 1), i, F), t[:, :4], t[:, 5:6], t[:, 4:5]), 1) for i, t in enumerate(tables)]
    spec = {"kind": "end-to-end", "columns": ["picture", "x1", "y1", "x2", "y2", "class", "score"]}
    out.case("YOLOv7 end-to-end", spec, size, classes, {"output": list(np.concatenate(numbered)[::-1])}, found)

    # PaddleDetection: class, score, box. Normalised edges: as TensorFlow Lite has them.
    paddle = [np.concatenate((t[:, 5:6], t[:, 4:5], t[:, :4] / F(640)), 1) for t in tables]
    spec = {"kind": "end-to-end", "columns": ["class", "score", "x1", "y1", "x2", "y2"], "normalised": True}
    shifted = [listed(p[:, 0], p[:, 1], p[:, 2:] * F(640)) for p in (p[p[:, 1] > F(0.25)] for p in paddle)]
    out.case("YOLOv10/26 end-to-end", spec, size, classes, {"rows": paddle}, shifted)


def efficient_nms(out):
    """TensorRT's EfficientNMS plugin, and the exports of the TensorFlow Object Detection API."""
    size, classes = (512, 512), 90

    def four(seed, scale, y_first, first_class):
        scene = Scene(seed, size, classes)
        predictions = sorted(scene.predictions(1), key=lambda p: -p[2])
        boxes, scores, labels = np.zeros((100, 4), F), np.zeros(100, F), np.full(100, -1, F)
        for i, (_, label, score, box) in enumerate(predictions):
            edges = corners(box[None])[0] / scale
            boxes[i], scores[i], labels[i] = (edges[[1, 0, 3, 2]] if y_first else edges), score, label + first_class
        return np.array([len(predictions)], F), boxes, scores, labels

    def read(count, boxes, scores, labels, scale, y_first, first_class):
        n = int(count.reshape(-1)[0])
        boxes = (boxes[:n][:, [1, 0, 3, 2]] if y_first else boxes[:n]) * F(scale)
        keep = scores[:n] >= F(0.25)
        return listed(labels[:n][keep] - first_class, scores[:n][keep], boxes[keep])

    sets = [four(seed, 1, False, 0) for seed in (41, 42)]
    found = [read(*s, 1, False, 0) for s in sets]
    names = ("num_dets", "det_boxes", "det_scores", "det_classes")
    out.case("EfficientNMS", {"kind": "efficient-nms"}, size, classes, {n: [s[i] for s in sets] for i, n in enumerate(names)}, found)

    sets = [four(seed, 512, True, 1) for seed in (43, 44)]
    found = [read(*s, 512, True, 1) for s in sets]
    spec = {"kind": "efficient-nms", "normalised": True, "y_first": True, "first_class": 1}
    # The API's own order, and a count without a second dimension.
    outputs = {
        "detection_boxes": [s[1] for s in sets], "detection_classes": [s[3] for s in sets],
        "detection_scores": [s[2] for s in sets], "num_detections": [s[0][0] for s in sets],
    }
    out.case("EfficientNMS", spec, size, classes, outputs, found)
