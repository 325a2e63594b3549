"""What pictures show, and the arithmetic that the families share; in float32."""

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

    def noise(self, *shape):
        """Scores of what is not there: below 0.12, most of them far below."""
        return (0.12 * (1 - np.exp(-8 * self.rng.beta(0.6, 20, shape)))).astype(F)

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
