#!/usr/bin/env python3
"""The published post-processing of each family of detectors, plainly in numpy: what the heads of egret-models are compared with.

For each family outputs of the exact shape of its export are made from seeded objects and noise, in float32. They are read the way
the family's own code reads them (named at each function), and both go into a folder:

  index.json   cases: parameters, shapes, and what the reference found on each picture
  tensors.f32  all outputs, little-endian
  masks.bits   instance masks of the whole input, one bit per pixel, lowest bit first

  heads.py FOLDER

Needs numpy alone.
"""

import json
import pathlib
import sys

import numpy as np

F = np.float32


def sigmoid(x):
    return (1 / (1 + np.exp(-x.astype(F)))).astype(F)


def logit(p):
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p)).astype(F)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return (e / e.sum(axis, keepdims=True)).astype(F)


# ---- what pictures show -----------------------------------------------------------------------------------------------------


class Scene:
    """Objects, and around each several predictions that differ a little, as a network has them before suppression."""

    def __init__(self, seed, size, classes, objects=14):
        self.rng, self.size, self.classes = np.random.default_rng(seed), size, classes
        width, height = size
        r = self.rng
        sides = np.exp(r.uniform(np.log(0.05), np.log(0.6), (objects, 2))) * [width, height]
        centres = r.uniform(0.02, 0.98, (objects, 2)) * [width, height]
        self.objects = [
            (int(r.integers(classes)), float(r.uniform(0.3, 0.97)), np.concatenate((c, s))) for c, s in zip(centres, sides)
        ]

    def predictions(self, each=6):
        """(object, class, score, centre x, centre y, width, height)"""
        r = self.rng
        for i, (label, score, box) in enumerate(self.objects):
            for _ in range(each):
                spread = np.array([box[2], box[3], 1, 1]) * r.normal(0, 0.06, 4)
                jittered = box + np.array([spread[0], spread[1], box[2] * spread[2], box[3] * spread[3]])
                # Now and then another class says the same.
                other = int(r.integers(self.classes)) if r.random() < 0.15 else label
                yield i, other, score * r.uniform(0.6, 1.0), np.maximum(jittered, [-50, -50, 2, 2])

    def noise(self, *shape, top=0.08):
        return (self.rng.beta(0.6, 20, shape) * top / 0.1).clip(0, 0.12).astype(F)

    def rows(self, count, each=6):
        """The predictions, each with a row of its own among `count`."""
        predictions = list(self.predictions(each))
        return list(zip(self.rng.choice(count, len(predictions), replace=False), predictions))

    def cells(self, strides, ceil=False):
        """The predictions, each with a cell near its centre: (row, cell x, cell y, stride, prediction)."""
        width, height = self.size
        side = lambda length, stride: -(-length // stride) if ceil else length // stride
        grids = [(side(width, s), side(height, s)) for s in strides]
        first = np.concatenate(([0], np.cumsum([w * h for w, h in grids])))
        taken = set()
        for prediction in self.predictions():
            level = int(self.rng.integers(len(strides)))
            (columns, rows), stride = grids[level], strides[level]
            x = int(np.clip(prediction[3][0] / stride + self.rng.integers(-1, 2), 0, columns - 1))
            y = int(np.clip(prediction[3][1] / stride + self.rng.integers(-1, 2), 0, rows - 1))
            row = int(first[level] + y * columns + x)
            if row not in taken:
                taken.add(row)
                yield row, x, y, stride, level, prediction


def grid(size, strides, ceil=False):
    """float32[A,3]: cell x, cell y, stride"""
    cells = []
    for stride in strides:
        columns, rows = (-(-s // stride) if ceil else s // stride for s in size)
        y, x = np.mgrid[:rows, :columns]
        cells.append(np.stack((x.ravel(), y.ravel(), np.full(x.size, stride)), 1))
    return np.concatenate(cells).astype(F)


# ---- suppression ------------------------------------------------------------------------------------------------------------


def corners(boxes):
    """centre and size -> left, top, right, bottom"""
    half = boxes[:, 2:4] / F(2)
    return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), 1)


def nms(boxes, scores, threshold):
    """torchvision.ops.nms: greedy; a box goes when its IoU with a better one that stays is greater."""
    order, kept = np.argsort(-scores, kind="stable"), []
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[order, :2])
        high = np.minimum(boxes[best, 2:], boxes[order, 2:])
        inter = np.prod(np.clip(high - low, 0, None), axis=1)
        order = order[inter / (areas[best] + areas[order] - inter) <= threshold]
    return np.array(kept, int)


def per_class(boxes, scores, labels, threshold):
    """Each class by itself (torchvision's `_batched_nms_vanilla`), best first."""
    kept = []
    for label in np.unique(labels):
        (of_class,) = np.nonzero(labels == label)
        kept.extend(of_class[nms(boxes[of_class], scores[of_class], threshold)])
    kept = np.array(kept, int)
    return kept[np.argsort(-scores[kept], kind="stable")]


def by_offset(boxes, scores, labels, threshold, agnostic=False, step=7680):
    """Ultralytics `non_max_suppression`: classes are moved apart, then suppressed together. The published code does so in float32,
    which rounds the edges of class 71 to 1/16 pixel and decides pairs within 1e-3 of the threshold by chance; here the
    intended arithmetic in float64."""
    moved = boxes.astype(float) + (labels * (0.0 if agnostic else step))[:, None]
    return nms(moved, scores, threshold)


def listed(labels, scores, boxes, **more):
    found = []
    for i in range(len(labels)):
        entry = {"class": int(labels[i]), "score": float(scores[i]), "bbox": [float(v) for v in boxes[i]]}
        entry.update({key: value[i] for key, value in more.items()})
        found.append(entry)
    return found


# ---- families ---------------------------------------------------------------------------------------------------------------


class Out:
    def __init__(self, folder):
        self.folder, self.cases, self.at = folder, [], 0
        self.tensors, self.masks = open(folder / "tensors.f32", "wb"), open(folder / "masks.bits", "wb")

    def case(self, head, spec, size, classes, outputs, found, **thresholds):
        """outputs: {name: [picture, ...]}"""
        listed = []
        for name, pictures in outputs.items():
            data = np.stack(pictures).astype("<f4")
            listed.append({"name": name, "shape": list(data.shape), "offset": self.at})
            self.tensors.write(data.tobytes())
            self.at += data.size
        entry = {"head": head, "spec": spec, "width": size[0], "height": size[1], "classes": classes, "outputs": listed}
        entry.update(confidence=0.25, iou=0.45, class_agnostic=False, candidates=30000, detections=300)
        entry.update(thresholds, found=found)
        self.cases.append(entry)

    def mask(self, covered):
        """bool[H,W] -> its place among the masks, in bytes"""
        place = self.masks.tell()
        self.masks.write(np.packbits(covered.ravel(), bitorder="little").tobytes())
        return place

    def close(self):
        self.tensors.close()
        self.masks.close()
        (self.folder / "index.json").write_text(json.dumps({"numpy": np.__version__, "cases": self.cases}))


def yolox(out):
    """YOLOX `demo_postprocess` and `utils.boxes.postprocess`; agnostic: `nms` over all classes (`class_agnostic=True`)."""

    def raw(seed, size, classes):
        scene, cells = Scene(seed, size, classes), grid(size, (8, 16, 32))
        output = np.concatenate((scene.rng.normal(0, 0.5, (len(cells), 4)).astype(F), scene.noise(len(cells), 1 + classes)), 1)
        for row, x, y, s, _, (_, label, score, box) in scene.cells((8, 16, 32)):
            objectness = max(score, scene.rng.uniform(0.8, 1))
            output[row, :5] = [box[0] / s - x, box[1] / s - y, np.log(box[2] / s), np.log(box[3] / s), objectness]
            output[row, 5 + label] = score / objectness
        return output

    def read(output, size, confidence, iou, agnostic):
        cells = grid(size, (8, 16, 32))
        boxes = np.concatenate(((output[:, :2] + cells[:, :2]) * cells[:, 2:], np.exp(output[:, 2:4]) * cells[:, 2:]), 1)
        labels = output[:, 5:].argmax(1)
        scores = output[:, 4] * output[np.arange(len(output)), 5 + labels]
        keep = scores >= F(confidence)
        boxes, scores, labels = corners(boxes[keep]), scores[keep], labels[keep]
        kept = nms(boxes, scores, iou) if agnostic else per_class(boxes, scores, labels, iou)
        return listed(labels[kept], scores[kept], boxes[kept])

    for name, size, classes, agnostic in (
        ("nano 416", (416, 416), 80, False), ("s 640", (640, 640), 80, False), ("wide", (640, 384), 3, True),
    ):
        raws = [raw(seed, size, classes) for seed in (1, 2, 3)]
        found = [read(r, size, 0.25, 0.45, agnostic) for r in raws]
        out.case("YOLOX", {"kind": "yolox"}, size, classes, {"output": raws}, found, class_agnostic=agnostic)


V5_ANCHORS = np.array(
    [[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]]], F
)


def yolov5_nms(rows, confidence, iou):
    """YOLOv5 `non_max_suppression` without multi_label."""
    rows = rows[rows[:, 4] > F(confidence)]
    scores = rows[:, 5:] * rows[:, 4:5]
    labels = scores.argmax(1)
    best = scores[np.arange(len(scores)), labels]
    keep = best > F(confidence)
    boxes, best, labels = corners(rows[keep, :4]), best[keep], labels[keep]
    kept = by_offset(boxes, best, labels, iou)
    return listed(labels[kept], best[kept], boxes[kept])


def yolov5(out):
    """YOLOv5 `Detect.forward` and `non_max_suppression`."""
    strides, size = (8, 16, 32), (640, 640)

    def raw(seed, classes):
        """Three arrays [3,H,W,5+C] of logits."""
        scene = Scene(seed, size, classes)
        grids = []
        for stride in strides:
            shape = (3, size[1] // stride, size[0] // stride)
            logits = logit(scene.noise(*shape, 5 + classes))
            logits[..., :4] = scene.rng.normal(0, 0.8, (*shape, 4))
            grids.append(logits)
        for _, x, y, s, level, (_, label, score, box) in scene.cells(strides):
            a = int(np.abs(np.log(box[2:] / V5_ANCHORS[level])).sum(1).argmin())
            objectness = max(score, scene.rng.uniform(0.8, 1))
            place = (box[:2] / s - [x, y] + 0.5) / 2
            side = np.sqrt(box[2:] / V5_ANCHORS[level][a]) / 2
            grids[level][a, y, x, :4] = logit(np.clip(np.concatenate((place, side)), 0.02, 0.98))
            grids[level][a, y, x, 4] = logit(objectness)
            grids[level][a, y, x, 5 + label] = logit(score / objectness)
        return grids

    def decode(grids):
        rows = []
        for level, logits in enumerate(grids):
            values, stride = sigmoid(logits), F(strides[level])
            y, x = np.mgrid[: logits.shape[1], : logits.shape[2]]
            cells = np.stack((x, y), 2).astype(F) - F(0.5)
            place = (values[..., :2] * F(2) + cells) * stride
            side = (values[..., 2:4] * F(2)) ** 2 * V5_ANCHORS[level][:, None, None]
            rows.append(np.concatenate((place, side, values[..., 4:]), 3).reshape(-1, values.shape[3]))
        return np.concatenate(rows)

    raws = [raw(seed, 80) for seed in (11, 12)]
    rows = [decode(grids) for grids in raws]
    found = [yolov5_nms(r, 0.25, 0.45) for r in rows]
    out.case("YOLOv5 decoded", {"kind": "yolov5"}, size, 80, {"output0": rows}, found)
    names = ["output", "345", "346"]
    together = {name: [grids[i] for grids in raws] for i, name in enumerate(names)}
    out.case("YOLOv5 raw", {"kind": "yolov5"}, size, 80, together, found)
    planes = [[g.transpose(0, 3, 1, 2).reshape(-1, *g.shape[1:3]) for g in grids] for grids in raws]
    # Out of order: shapes tell them apart.
    apart = {names[i]: [grids[i] for grids in planes] for i in (2, 0, 1)}
    out.case("YOLOv5 raw", {"kind": "yolov5"}, size, 80, apart, found)


def v8_rows(seed, size, classes, extra=0, count=8400):
    """float32[A,4+C+extra] of a scene, and which object each row shows."""
    scene = Scene(seed, size, classes)
    rows = np.concatenate(
        (
            scene.rng.uniform(0, size[0], (count, 2)), scene.rng.uniform(4, 200, (count, 2)),
            scene.noise(count, classes), scene.rng.normal(0, 0.3, (count, extra)),
        ), 1,
    ).astype(F)
    placed = scene.rows(count)
    for row, (_, label, score, box) in placed:
        rows[row, :4] = box
        rows[row, 4 + label] = score
    return scene, rows, placed


def v8_best(rows, classes, confidence):
    """Ultralytics `non_max_suppression` without multi_label: rows, boxes, scores, labels above the confidence."""
    labels = rows[:, 4 : 4 + classes].argmax(1)
    scores = rows[np.arange(len(rows)), 4 + labels]
    (keep,) = np.nonzero(scores > F(confidence))
    return keep, corners(rows[keep, :4]), scores[keep], labels[keep]


def yolov8(out):
    """Ultralytics `non_max_suppression` on the raw output of YOLOv8, 9, 11."""

    def read(rows, classes, iou, agnostic):
        _, boxes, scores, labels = v8_best(rows, classes, 0.25)
        kept = by_offset(boxes, scores, labels, iou, agnostic)
        return listed(labels[kept], scores[kept], boxes[kept])

    for size, classes, agnostic, transposed in (
        ((640, 640), 80, False, False), ((640, 640), 80, True, False), ((640, 640), 1, False, False), ((640, 640), 80, False, True),
    ):
        rows = [v8_rows(seed, size, classes)[1] for seed in (21, 22)]
        found = [read(r, classes, 0.7, agnostic) for r in rows]
        outputs = rows if transposed else [r.T for r in rows]
        out.case("YOLOv8/9/11", {"kind": "yolov8"}, size, classes, {"output0": outputs}, found, iou=0.7, class_agnostic=agnostic)


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


def paper_priors(side, grids, steps, scales, ratios, shape_major):
    """NVIDIA SSD `DefaultBoxes` (shape_major) and torchvision `DefaultBoxGenerator`: float32[A,4], 0..1"""
    boxes = []
    for i, cells in enumerate(grids):
        shapes = [(scales[i], scales[i]), (np.sqrt(scales[i] * scales[i + 1]),) * 2]
        for ratio in ratios[i]:
            w, h = scales[i] * np.sqrt(ratio), scales[i] / np.sqrt(ratio)
            shapes += [(w, h), (h, w)]
        per_side = side / steps[i] if steps else cells
        y, x = np.mgrid[:cells, :cells]
        centres = np.stack(((x + 0.5) / per_side, (y + 0.5) / per_side), 2).reshape(-1, 1, 2)
        grid_boxes = np.concatenate(
            (np.repeat(centres, len(shapes), 1), np.broadcast_to(np.clip(shapes, 0, 1), (cells * cells, len(shapes), 2))), 2
        )
        boxes.append((grid_boxes.transpose(1, 0, 2) if shape_major else grid_boxes).reshape(-1, 4))
    return np.concatenate(boxes).astype(F)


def tensorflow_priors():
    """TensorFlow Object Detection API `create_ssd_anchors` of SSD-MobileNet: float32[1917,4] as x, y, w, h"""
    grids, ratios = (19, 10, 5, 3, 2, 1), (1.0, 2.0, 0.5, 3.0, 1.0 / 3)
    scales = [0.2 + (0.95 - 0.2) * i / 5 for i in range(6)] + [1.0]
    boxes = []
    for i, cells in enumerate(grids):
        if i == 0:
            kinds = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
        else:
            kinds = [(scales[i], ratio) for ratio in ratios] + [(np.sqrt(scales[i] * scales[i + 1]), 1.0)]
        for y in range(cells):
            for x in range(cells):
                for scale, ratio in kinds:
                    boxes.append(((x + 0.5) / cells, (y + 0.5) / cells, scale * np.sqrt(ratio), scale / np.sqrt(ratio)))
    return np.array(boxes, F)


def ssd_offsets(scene, priors):
    """Offsets (x, y, w, h) and scores [A,C] without background of a scene."""
    width, height = scene.size
    offsets = scene.rng.normal(0, 0.6, (len(priors), 4)).astype(F)
    scores = scene.noise(len(priors), scene.classes)
    taken = set()
    for _, label, score, box in scene.predictions():
        target = box / [width, height, width, height]
        distance = np.abs(priors[:, :2] - target[:2]).sum(1) + np.abs(np.log(priors[:, 2:] / target[2:])).sum(1)
        row = next(int(i) for i in np.argsort(distance) if int(i) not in taken)
        taken.add(row)
        prior = priors[row]
        offsets[row, :2] = (target[:2] - prior[:2]) / prior[2:] / 0.1
        offsets[row, 2:] = np.log(target[2:] / prior[2:]) / 0.2
        scores[row] *= 0.3
        scores[row, label] = score
        # A second class of the same box, as SSD tells them.
        scores[row, (label + 1) % scene.classes] = min(0.9 - score, scene.rng.uniform(0.2, 0.35)) if score < 0.6 else 0.01
    return offsets, scores


def ssd_boxes(offsets, priors, size):
    """The inverse of SSD's encoding: corners in pixels."""
    centre = priors[:, :2] + offsets[:, :2] * F(0.1) * priors[:, 2:]
    side = priors[:, 2:] * np.exp(offsets[:, 2:] * F(0.2))
    return corners(np.concatenate((centre, side), 1)) * np.array([*size, *size], F)


def multiclass(boxes, scores, confidence, iou, limit):
    """Every class of every box by itself, then the best of all."""
    rows, labels = np.nonzero(scores >= F(confidence))
    boxes, scores = boxes[rows], scores[rows, labels]
    kept = per_class(boxes, scores, labels, iou)[:limit]
    return listed(labels[kept], scores[kept], boxes[kept])


def background_logits(scores, rng):
    """Logits [A,1+C] whose softmax is near the scores."""
    rest = np.clip(1 - scores.sum(1, keepdims=True), 0.05, None)
    return (np.log(np.concatenate((rest, scores + F(1e-5)), 1)) + rng.normal(0, 1, (len(scores), 1))).astype(F)


def ssd(out):
    grids, steps = (38, 19, 10, 5, 3, 1), (8, 16, 32, 64, 100, 300)
    scales = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
    ratios = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
    size = (300, 300)

    def pictures(seeds, priors, classes, activation):
        for seed in seeds:
            scene = Scene(seed, size, classes)
            offsets, scores = ssd_offsets(scene, priors)
            logits = background_logits(scores, scene.rng) if activation == "softmax" else logit(scores)
            yield offsets, logits

    # torchvision ssd300_vgg16 `postprocess_detections`: softmax, clip, each class by itself.
    priors = paper_priors(300, grids, steps, scales, ratios, False)
    sets = list(pictures((51, 52), priors, 90, "softmax"))
    whole = np.array([0, 0, 0, 0], F), np.array([300, 300, 300, 300], F)
    found = [multiclass(np.clip(ssd_boxes(o, priors, size), *whole), softmax(l)[:, 1:], 0.2, 0.45, 200) for o, l in sets]
    outputs = {"bbox_regression": [s[0] for s in sets], "cls_logits": [s[1] for s in sets]}
    out.case("SSD300", {"kind": "ssd"}, size, 90, outputs, found, confidence=0.2, detections=200)

    # NVIDIA SSD300 ResNet `Encoder.decode_batch`: [4,8732] and [81,8732], all cells of a shape together, not clipped.
    priors = paper_priors(300, grids, steps, scales, ratios, True)
    sets = list(pictures((53, 54), priors, 80, "softmax"))
    found = [multiclass(ssd_boxes(o, priors, size), softmax(l)[:, 1:], 0.2, 0.5, 200) for o, l in sets]
    outputs = {"plabel": [s[1].T for s in sets], "ploc": [s[0].T for s in sets]}
    spec = {"kind": "ssd", "priors": {"style": "paper", "shape_major": True}, "clip": False}
    out.case("SSD300", spec, size, 80, outputs, found, confidence=0.2, iou=0.5, detections=200)

    # TensorFlow SSD-MobileNet: `FasterRcnnBoxCoder` (y, x, h, w), sigmoid, background first, clipped to the window.
    priors = tensorflow_priors()
    sets = list(pictures((55, 56), priors, 90, "sigmoid"))
    found = [multiclass(np.clip(ssd_boxes(o, priors, size), *whole), sigmoid(l), 0.3, 0.6, 100) for o, l in sets]
    background = lambda l: np.concatenate((np.full((len(l), 1), -4, F), l), 1)
    outputs = {"boxes": [s[0][:, [1, 0, 3, 2]] for s in sets], "scores": [background(s[1]) for s in sets]}
    spec = {"kind": "ssd", "priors": {"style": "tensorflow"}, "activation": "sigmoid", "y_first": True}
    out.case("SSD-MobileNet", spec, size, 90, outputs, found, confidence=0.3, iou=0.6, detections=100)

    # jetson-inference `ssd-mobilenet.onnx`: decoded corners and softmaxed scores come from the network.
    raws = pictures((57, 58), priors, 20, "softmax")
    sets = [(ssd_boxes(offsets, priors, (1, 1)), softmax(logits)) for offsets, logits in raws]
    found = [multiclass(b * F(300), s[:, 1:], 0.3, 0.45, 100) for b, s in sets]
    spec = {"kind": "ssd", "priors": {"style": "decoded"}, "activation": "none", "clip": False}
    outputs = {"scores": [s[1] for s in sets], "boxes": [s[0] for s in sets]}
    out.case("SSD-MobileNet", spec, size, 20, outputs, found, confidence=0.3, detections=100)


def detr(out):
    """RT-DETR and D-FINE `RTDETRPostProcessor`/`DFINEPostProcessor`, RF-DETR `PostProcess`: sigmoid, top-k of queries x classes."""

    def raw(seed, size, queries, classes, bias=0.0):
        scene = Scene(seed, size, classes)
        logits = logit(scene.noise(queries, classes)) + F(bias)
        boxes = scene.rng.uniform(0.05, 0.95, (queries, 4)).astype(F)
        for row, (_, label, score, box) in scene.rows(queries, 2):
            logits[row, label] = logit(np.array(score))
            boxes[row] = box / [*size, *size]
        return logits, boxes

    def read(logits, boxes, size, top, confidence):
        scores = sigmoid(logits).ravel()
        order = np.argsort(-scores, kind="stable")[:top]
        order = order[scores[order] >= F(confidence)]
        found = corners(boxes[order // logits.shape[1]]) * np.array([*size, *size], F)
        return listed(order % logits.shape[1], scores[order], found)

    sets = [raw(seed, (640, 640), 300, 80) for seed in (61, 62)]
    found = [read(*s, (640, 640), 300, 0.25) for s in sets]
    outputs = {"logits": [s[0] for s in sets], "pred_boxes": [s[1] for s in sets]}
    out.case("RT-DETR/D-FINE", {"kind": "detr"}, (640, 640), 80, outputs, found)

    # Many more than 300 are enough: top-k decides.
    sets = [raw(seed, (640, 640), 300, 80, 2.0) for seed in (63, 64)]
    found = [read(*s, (640, 640), 300, 0.01) for s in sets]
    outputs = {"logits": [s[0] for s in sets], "pred_boxes": [s[1] for s in sets]}
    out.case("RT-DETR/D-FINE", {"kind": "detr"}, (640, 640), 80, outputs, found, confidence=0.01)

    # Their exported post-processing.
    final = [read(*s, (640, 640), 300, 0.0) for s in sets]
    column = lambda key: [np.array([f[key] for f in picture], F) for picture in final]
    found = [[f for f in picture if f["score"] >= F(0.25)] for picture in final]
    outputs = {"labels": column("class"), "boxes": column("bbox"), "scores": column("score")}
    out.case("RT-DETR/D-FINE", {"kind": "detr"}, (640, 640), 80, outputs, found)

    # RF-DETR: its outputs are called dets and labels, and there are 91 classes.
    sets = [raw(seed, (560, 560), 300, 91) for seed in (65, 66)]
    found = [read(*s, (560, 560), 300, 0.25) for s in sets]
    outputs = {"dets": [s[1] for s in sets], "labels": [s[0] for s in sets]}
    out.case("RF-DETR", {"kind": "detr"}, (560, 560), 91, outputs, found)

    # DETR: softmax, the last class is "no object".
    scene_sets = [raw(seed, (800, 608), 100, 91) for seed in (67, 68, 69, 70)]
    sharp = lambda logits: background_logits(sigmoid(logits) ** 2, np.random.default_rng(7))
    sets = [(np.roll(sharp(logits), -1, 1), boxes) for logits, boxes in scene_sets]

    def read_softmax(logits, boxes, size):
        scores = softmax(logits)[:, :-1]
        labels = scores.argmax(1)
        best = scores[np.arange(len(scores)), labels]
        keep = best >= F(0.25)
        order = np.argsort(-best[keep], kind="stable")
        found = corners(boxes[keep]) * np.array([*size, *size], F)
        return listed(labels[keep][order], best[keep][order], found[order])

    found = [read_softmax(*s, (800, 608)) for s in sets]
    outputs = {"pred_logits": [s[0] for s in sets], "pred_boxes": [s[1] for s in sets]}
    out.case("DETR", {"kind": "detr", "activation": "softmax"}, (800, 608), 91, outputs, found)


def distributions(scene, cells, strides, point, reg_max=7):
    """Logits [A,4*(reg_max+1)] and scores [A,C] of a scene on grids that round up."""
    bins = reg_max + 1
    edges = scene.rng.normal(0, 1.5, (len(cells), 4, bins)).astype(F)
    scores = scene.noise(len(cells), scene.classes)
    for row, x, y, s, _, (_, label, score, box) in scene.cells(strides, ceil=True):
        left, top, right, bottom = corners(box[None])[0]
        px, py = (x + point) * s, (y + point) * s
        distances = np.clip(np.array([px - left, py - top, right - px, bottom - py]) / s, 0.1, reg_max - 0.1)
        edges[row] = -2 * np.abs(np.arange(bins)[None] - distances[:, None]) + scene.rng.normal(0, 0.2, (4, bins))
        scores[row, label] = score
    return edges.reshape(len(cells), -1), scores


def distances(edges, strides):
    """Generalized Focal Loss `Integral`: the expectation of each edge's distribution, in pixels."""
    shares = softmax(edges.reshape(len(edges), 4, -1))
    return shares @ np.arange(shares.shape[2], dtype=F) * strides[:, None]


def nanodet(out):
    """NanoDet-Plus `NanoDetPlusHead.get_bboxes` (points at the cells' corners) and NanoDet `GFLHead` (in their middle)."""
    for size, point, strides, classes, head in (
        ((416, 416), 0.0, (8, 16, 32, 64), 80, "NanoDet-Plus"), ((320, 320), 0.0, (8, 16, 32, 64), 80, "NanoDet-Plus"),
        ((320, 320), 0.5, (8, 16, 32), 80, "NanoDet"),
    ):
        cells = grid(size, strides, ceil=True)
        raws, found = [], []
        for seed in (71, 72):
            scene = Scene(seed, size, classes)
            edges, scores = distributions(scene, cells, strides, point)
            d = distances(edges, cells[:, 2])
            points = (cells[:, :2] + F(point)) * cells[:, 2:]
            boxes = np.concatenate((points - d[:, :2], points + d[:, 2:]), 1)
            boxes = np.clip(boxes, 0, np.array([*size, *size], F))
            found.append(multiclass(boxes, scores, 0.3, 0.6, 100))
            raws.append(np.concatenate((scores, edges), 1))
        spec = {"kind": "nanodet", "strides": list(strides), "point": point}
        out.case(head, spec, size, classes, {"output": raws}, found, confidence=0.3, iou=0.6, detections=100)


def picodet(out):
    """PaddleDetection `picodet_postprocess`: four grids of scores and of distributions; and the decoded export."""
    size, strides, classes = (416, 416), (8, 16, 32, 64), 80
    cells = grid(size, strides, ceil=True)
    counts = [int((cells[:, 2] == s).sum()) for s in strides]
    sets, found = [], []
    for seed in (81, 82):
        scene = Scene(seed, size, classes)
        edges, scores = distributions(scene, cells, strides, 0.5)
        d = distances(edges, cells[:, 2])
        points = (cells[:, :2] + F(0.5)) * cells[:, 2:]
        boxes = np.concatenate((points - d[:, :2], points + d[:, 2:]), 1)
        found.append(multiclass(boxes, scores, 0.4, 0.6, 100))
        sets.append((edges, scores, boxes))
    cut = np.cumsum(counts)[:-1]
    outputs = {}
    for i in range(4):
        outputs[f"scores_{i}"] = [np.split(scores, cut)[i] for _, scores, _ in sets]
    for i in range(4):
        outputs[f"boxes_{i}"] = [np.split(edges, cut)[i] for edges, _, _ in sets]
    out.case("PicoDet", {"kind": "picodet"}, size, classes, outputs, found, confidence=0.4, iou=0.6, detections=100)
    outputs = {"boxes": [boxes for _, _, boxes in sets], "scores": [scores.T for _, scores, _ in sets]}
    out.case("PicoDet", {"kind": "picodet"}, size, classes, outputs, found, confidence=0.4, iou=0.6, detections=100)


def detectnet(out):
    """TAO's DetectNet_v2 post-processing (`DetectNetPostprocessor`), clusters by suppression (DeepStream, cluster-mode 2)."""
    for size, classes in (((960, 544), 3), ((960, 544), 4)):
        columns, rows = size[0] // 16, size[1] // 16
        raws, found = [], []
        centres_x = (np.arange(columns) * F(16) + F(0.5)) / F(35)
        centres_y = (np.arange(rows) * F(16) + F(0.5)) / F(35)
        for seed in (91, 92):
            scene = Scene(seed, size, classes)
            coverage, edges = scene.noise(classes, rows, columns), scene.rng.normal(0.5, 0.5, (classes, 4, rows, columns)).astype(F)
            for _, x, y, _, _, (_, label, score, box) in scene.cells((16,)):
                coverage[label, y, x] = score
                left, top, right, bottom = corners(box[None])[0] / 35
                px, py = centres_x[x], centres_y[y]
                edges[label, :, y, x] = [px - left, py - top, right - px, bottom - py]
            boxes = np.stack(
                (
                    (edges[:, 0] - centres_x) * F(-35), (edges[:, 1] - centres_y[:, None]) * F(-35),
                    (edges[:, 2] + centres_x) * F(35), (edges[:, 3] + centres_y[:, None]) * F(35),
                ), -1,
            )
            boxes = np.clip(boxes, 0, np.array([*size, *size], F)).reshape(-1, 4)
            labels, scores = np.repeat(np.arange(classes), rows * columns), coverage.ravel()
            keep = scores >= F(0.4)
            boxes, scores, labels = boxes[keep], scores[keep], labels[keep]
            kept = per_class(boxes, scores, labels, 0.5)
            found.append(listed(labels[kept], scores[kept], boxes[kept]))
            raws.append((coverage, edges.reshape(-1, rows, columns)))
        outputs = {"output_bbox/BiasAdd": [r[1] for r in raws], "output_cov/Sigmoid": [r[0] for r in raws]}
        out.case("DetectNet_v2", {"kind": "detectnet-v2"}, size, classes, outputs, found, confidence=0.4, iou=0.5)


def prob_iou(one, others):
    """Ultralytics `probiou`: rows of centre x, centre y, w, h, angle"""

    def covariance(b):
        a, c, angle = b[:, 2] ** 2 / F(12), b[:, 3] ** 2 / F(12), b[:, 4]
        cos, sin = np.cos(angle), np.sin(angle)
        return a * cos**2 + c * sin**2, a * sin**2 + c * cos**2, (a - c) * cos * sin

    eps = F(1e-7)
    (a1, b1, c1), (a2, b2, c2) = covariance(one), covariance(others)
    x1, y1, x2, y2 = one[:, 0], one[:, 1], others[:, 0], others[:, 1]
    det = (a1 + a2) * (b1 + b2) - (c1 + c2) ** 2
    t1 = ((a1 + a2) * (y1 - y2) ** 2 + (b1 + b2) * (x1 - x2) ** 2) / (det + eps) * F(0.25)
    t2 = ((c1 + c2) * (x2 - x1) * (y1 - y2)) / (det + eps) * F(0.5)
    own = np.sqrt(np.clip(a1 * b1 - c1**2, 0, None) * np.clip(a2 * b2 - c2**2, 0, None))
    t3 = np.log(det / (F(4) * own + eps) + eps) * F(0.5)
    bd = np.clip(t1 + t2 + t3, eps, F(100))
    return F(1) - np.sqrt(F(1) - np.exp(-bd) + eps)


def obb(out):
    """Ultralytics `non_max_suppression(rotated=True)`, `nms_rotated` and `regularize_rboxes` (YOLOv8-obb, DOTA: 15 classes)."""
    size, classes = (1024, 1024), 15
    outputs, found, final = [], [], []
    for seed in (101, 102):
        scene, rows, placed = v8_rows(seed, size, classes, extra=1, count=21504)
        angles = scene.rng.uniform(-np.pi / 4, 3 * np.pi / 4, len(scene.objects))
        for row, (i, _, _, _) in placed:
            rows[row, -1] = angles[i] + scene.rng.normal(0, 0.05)
        keep, _, scores, labels = v8_best(rows, classes, 0.25)
        turned = np.concatenate((rows[keep, :4], rows[keep, -1:]), 1)
        order = np.argsort(-scores, kind="stable")
        turned, scores, labels = turned[order], scores[order], labels[order]
        stay = []
        for i in range(len(turned)):
            better = turned[:i][labels[:i] == labels[i]]
            if not len(better) or prob_iou(np.repeat(turned[i : i + 1], len(better), 0), better).max() < F(0.45):
                stay.append(i)
        turned, scores, labels = turned[stay], scores[stay], labels[stay]
        w, h, angle = turned[:, 2], turned[:, 3], turned[:, 4]
        lying = w > h
        regular = np.stack((
            turned[:, 0], turned[:, 1], np.where(lying, w, h), np.where(lying, h, w),
            np.where(lying, angle, angle + F(np.pi / 2)) % F(np.pi),
        ), 1)
        hull = np.abs(np.cos(angle)) * w + np.abs(np.sin(angle)) * h, np.abs(np.sin(angle)) * w + np.abs(np.cos(angle)) * h
        boxes = corners(np.stack((turned[:, 0], turned[:, 1], *hull), 1))
        outputs.append(rows.T)
        found.append(listed(labels, scores, boxes, oriented=[[float(v) for v in r] for r in regular]))
        table = np.zeros((300, 7), F)
        table[: len(turned)] = np.concatenate((turned[:, :4], scores[:, None], labels[:, None], turned[:, 4:]), 1)
        final.append(table)
    out.case("YOLOv8-obb", {"kind": "obb"}, size, classes, {"output0": outputs}, found)
    out.case("YOLOv8-obb", {"kind": "obb", "end_to_end": True}, size, classes, {"output0": final}, found)


def pose(out):
    """Ultralytics `non_max_suppression` with key points (YOLOv8-pose, COCO: 17 of x, y, visibility)."""
    size = (640, 640)
    for keypoints, values, classes in ((17, 3, 1), (4, 2, 3)):
        outputs, found, final = [], [], []
        for seed in (111, 112):
            scene, rows, placed = v8_rows(seed, size, classes, extra=keypoints * values)
            for row, (_, _, _, box) in placed:
                points = np.concatenate((
                    box[:2] + scene.rng.uniform(-0.5, 0.5, (keypoints, 2)) * box[2:], scene.rng.uniform(0, 1, (keypoints, values - 2)),
                ), 1)
                rows[row, 4 + classes :] = points.ravel()
            keep, boxes, scores, labels = v8_best(rows, classes, 0.25)
            kept = by_offset(boxes, scores, labels, 0.7)
            points = rows[keep[kept], 4 + classes :].reshape(len(kept), keypoints, values)
            if values == 2:
                points = np.concatenate((points, np.ones((len(kept), keypoints, 1), F)), 2)
            outputs.append(rows.T)
            listed_points = [[[float(v) for v in p] for p in person] for person in points]
            found.append(listed(labels[kept], scores[kept], boxes[kept], keypoints=listed_points))
            table = np.zeros((300, 6 + keypoints * values), F)
            extras = rows[keep[kept], 4 + classes :]
            table[: len(kept)] = np.concatenate((boxes[kept], scores[kept, None], labels[kept, None], extras), 1)
            final.append(table)
        spec = {"kind": "pose", "keypoints": keypoints, "values": values}
        out.case("YOLOv8-pose", spec, size, classes, {"output0": outputs}, found, iou=0.7)
        out.case("YOLOv8-pose", {**spec, "end_to_end": True}, size, classes, {"output0": final}, found)


def enlarge(planes, size):
    """torch `interpolate(mode="bilinear", align_corners=False)`: float32[n,h,w] -> [n,H,W]"""
    _, h, w = planes.shape

    def taps(pixels, cells):
        place = np.maximum((np.arange(pixels, dtype=F) + F(0.5)) * F(cells / pixels) - F(0.5), 0)
        low = np.minimum(place.astype(int), cells - 1)
        return low, np.minimum(low + 1, cells - 1), (place - low).astype(F)

    (xl, xh, xp), (yl, yh, yp) = taps(size[0], w), taps(size[1], h)
    rows = planes[:, yl] * (F(1) - yp)[:, None] + planes[:, yh] * yp[:, None]
    return rows[:, :, xl] * (F(1) - xp) + rows[:, :, xh] * xp


def segment(out):
    """Ultralytics `non_max_suppression` and `process_mask_native` (YOLOv8-seg): prototypes, enlarged, cut to the box, above 0."""
    size, classes = (640, 640), 80
    outputs, prototypes, found, final = [], [], [], []
    for seed in (121, 122):
        scene, rows, _ = v8_rows(seed, size, classes, extra=32)
        coarse = scene.rng.normal(0, 1, (32, 12, 12)).astype(F)
        protos = enlarge(coarse, (160, 160))
        keep, boxes, scores, labels = v8_best(rows, classes, 0.25)
        kept = by_offset(boxes, scores, labels, 0.7)
        coefficients = rows[keep[kept], 4 + classes :]
        masks = enlarge((coefficients @ protos.reshape(32, -1)).reshape(-1, 160, 160), size)
        x, y = np.arange(640)[None, None], np.arange(640)[None, :, None]
        x1, y1, x2, y2 = (edge[:, None, None] for edge in boxes[kept].T)
        masks = (masks > 0) & (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
        outputs.append(rows.T)
        prototypes.append(protos)
        found.append(listed(labels[kept], scores[kept], boxes[kept], mask=[out.mask(m) for m in masks]))
        table = np.zeros((300, 38), F)
        table[: len(kept)] = np.concatenate((boxes[kept], scores[kept, None], labels[kept, None], coefficients), 1)
        final.append(table)
    spec = {"kind": "segment"}
    out.case("YOLOv8-seg", spec, size, classes, {"output0": outputs, "output1": prototypes}, found, iou=0.7)
    out.case("YOLOv8-seg", {**spec, "end_to_end": True}, size, classes, {"output1": prototypes, "output0": final}, found)


def main():
    folder = pathlib.Path(sys.argv[1])
    out = Out(folder)
    for family in (
        yolox, yolov5, yolov8, end_to_end, efficient_nms, ssd, detr, nanodet, picodet, detectnet, obb, pose, segment,
    ):
        family(out)
    out.close()


if __name__ == "__main__":
    main()
