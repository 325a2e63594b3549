"""Oriented boxes, key points and masks of YOLOv8 and later."""

import numpy as np

from pictures import F
from suppression import by_offset, corners, listed
from yolo import v8_best, v8_rows


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
        swap = angle % F(np.pi) >= F(np.pi / 2)
        sides = np.where(swap, h, w), np.where(swap, w, h)
        regular = np.stack((turned[:, 0], turned[:, 1], *sides, angle % F(np.pi / 2)), 1)
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
