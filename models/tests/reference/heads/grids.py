"""NanoDet, PicoDet, DetectNet_v2."""

import numpy as np

from pictures import F, Scene, grid, softmax
from suppression import corners, listed, multiclass, per_class


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
