"""DETR, RT-DETR, D-FINE, RF-DETR."""

import numpy as np

from pictures import F, Scene, logit, sigmoid, softmax
from ssd import background_logits
from suppression import corners, listed


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
