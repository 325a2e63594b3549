"""How the families suppress duplicates."""

import numpy as np

from pictures import F


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


def multiclass(boxes, scores, confidence, iou, limit):
    """Every class of every box by itself, then the best of all."""
    rows, labels = np.nonzero(scores >= F(confidence))
    boxes, scores = boxes[rows], scores[rows, labels]
    kept = per_class(boxes, scores, labels, iou)[:limit]
    return listed(labels[kept], scores[kept], boxes[kept])
