"""YOLOX, YOLOv5, YOLOv8 and later."""

import numpy as np

from pictures import F, Scene, grid, logit, sigmoid
from suppression import by_offset, corners, listed, nms, per_class


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
