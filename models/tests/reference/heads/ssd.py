"""SSD300 and SSD-MobileNet."""

import numpy as np

from pictures import F, Scene, logit, sigmoid, softmax
from suppression import corners, multiclass


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
