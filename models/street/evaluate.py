"""Judges the street detector: evaluate.py street.onnx DATASET... [--confidence 0.4] [--nms 0.45] [--quantizer Q | --bitrate KBIT] [--sweep] [--draw DIR]

DATASET is a folder of the scene generator, of seeds never trained on (from 1000000). Prints recall and precision at IoU 0.5,
by day and by night and per class, over objects at least 16 px high in the 640x360 frame and at least half visible. A
detection that matches a smaller or more hidden object of its class is neither right nor wrong. Exits 1 if day or night falls
short of 0.90 in either.
"""

import argparse
import sys
import time

import cv2
import numpy as np
import onnxruntime

from prepare import CLASSES, IN_H, IN_W, SCALE, letterbox, load


def grid():
    cells = []
    for s in (8, 16, 32):
        y, x = np.mgrid[: IN_H // s, : IN_W // s]
        cells.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, s)], 1))
    return np.concatenate(cells).astype(np.float32)


GRID = grid()


def overlaps(box, others):
    wh = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None)
    inter = wh[:, 0] * wh[:, 1]
    area = lambda b: (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    return inter / (area(box) + area(others) - inter + 1e-9)


def detections(output, floor, nms):
    """One frame's raw output [anchors,8] -> rows of (confidence, class, x1, y1, x2, y2) in pixels of the frame, best first."""
    scores = output[:, 4:5] * output[:, 5:]
    anchor, kind = np.nonzero(scores >= floor)
    centre = (output[anchor, :2] + GRID[anchor, :2]) * GRID[anchor, 2:]
    half = np.exp(output[anchor, 2:4]) * GRID[anchor, 2:] / 2
    boxes = np.concatenate([centre - half, centre + half], 1) / SCALE
    boxes[:, [0, 2]] = boxes[:, [0, 2]].clip(0, 640)
    boxes[:, [1, 3]] = boxes[:, [1, 3]].clip(0, 360)
    rows = np.concatenate([scores[anchor, kind][:, None], kind[:, None], boxes], 1)
    rows = rows[np.argsort(-rows[:, 0], kind="stable")]
    kept = []
    while len(rows):
        best, rows = rows[0], rows[1:]
        kept.append(best)
        rows = rows[(rows[:, 1] != best[1]) | (overlaps(best[2:], rows[:, 2:]) <= nms)]
    return np.array(kept).reshape(-1, 6)


def judged(o):
    return o["visible"] * o["inside"] >= 0.5 and o["box"][3] - o["box"][1] >= 16


def match(found, objects):
    """Best first, each detection takes the free object of its class with the largest IoU of at least 0.5; a judged one if it can.
    -> per detection 1 right, 0 wrong, -1 neither; and which objects were found."""
    verdict, taken = [], set()
    for row in found:
        same = [i for i, o in enumerate(objects) if CLASSES.index(o["class"]) == row[1]]
        over = overlaps(row[2:], np.array([objects[i]["box"] for i in same], float).reshape(-1, 4))
        hits = [(judged(objects[i]), v, i) for i, v in zip(same, over) if v >= 0.5]
        free = [h for h in hits if h[0] and h[2] not in taken]
        if free:
            best = max(free)
            taken.add(best[2])
            verdict.append(1)
        else:
            verdict.append(-1 if any(not h[0] for h in hits) else 0)
    return verdict, taken


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--confidence", type=float, default=0.4)
    parser.add_argument("--nms", type=float, default=0.45)
    parser.add_argument("--quantizer", type=int)
    parser.add_argument("--bitrate", type=int, help="kbit/s of H.264, for frames that follow each other")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--draw")
    args = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
    floor = 0.05 if args.sweep else args.confidence
    results, spent, count = [], 0.0, 0
    for name in args.datasets:
        frames, truths = load(name, args.quantizer, args.bitrate)
        for frame, truth in zip(frames, truths):
            tensor = letterbox(frame).transpose(2, 0, 1)[None].astype(np.float32)
            start = time.process_time()
            output = session.run(None, {"images": tensor})[0][0]
            spent, count = spent + time.process_time() - start, count + 1
            results.append((truth, detections(output, floor, args.nms)))
            if args.draw and count % 4 == 1:
                draw(args.draw, count, frame, truth, results[-1][1])

    def tally(confidence):
        sums = {}
        for truth, found in results:
            found = found[found[:, 0] >= confidence]
            verdict, taken = match(found, truth["objects"])
            for part in (truth["time"], truth["time"] + ("-rain" if truth["rain"] else "-dry")):
                for k, name in [*enumerate(CLASSES), (None, "all")]:
                    s = sums.setdefault((part, name), [0, 0, 0])
                    of = lambda c: k is None or c == k
                    for row, v in zip(found, verdict):
                        s[1] += v == 0 and of(row[1])
                    for i, o in enumerate(truth["objects"]):
                        if judged(o) and of(CLASSES.index(o["class"])):
                            s[0 if i in taken else 2] += 1
        return sums

    if args.sweep:
        for c in np.arange(0.15, 0.75, 0.05):
            sums = tally(c)
            line = f"confidence {c:.2f}"
            for part in ("day", "night"):
                tp, fp, fn = sums.get((part, "all"), (0, 0, 0))
                line += f"  {part} recall {tp / max(1, tp + fn):.3f} precision {tp / max(1, tp + fp):.3f}"
            print(line)
    sums, good = tally(args.confidence), True
    way = f", through H.264 at {args.bitrate} kbit/s" if args.bitrate else f", through H.264 at quantizer {args.quantizer}" if args.quantizer else ""
    print(f"{args.model} at confidence {args.confidence}, NMS {args.nms}, {count} frames{way}")
    for (part, name), (tp, fp, fn) in sorted(sums.items()):
        recall, precision = tp / max(1, tp + fn), tp / max(1, tp + fp)
        good &= name != "all" or part not in ("day", "night") or min(recall, precision) >= 0.9
        print(f"{part:11} {name:8} recall {recall:.3f} precision {precision:.3f}  ({tp} right, {fp} wrong, {fn} missed)")
    print(f"{spent / count * 1e3:.2f} ms of CPU per inference, one thread, batch 1, ONNX Runtime {onnxruntime.__version__}")
    sys.exit(0 if good else 1)


def draw(folder, number, frame, truth, found):
    image = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_YUV2BGR_I420)
    verdict, taken = match(found, truth["objects"])
    for i, o in enumerate(truth["objects"]):
        if judged(o) and i not in taken:
            cv2.rectangle(image, o["box"][:2], [v - 1 for v in o["box"][2:]], (0, 0, 255), 1)
    for row, v in zip(found, verdict):
        colour = {1: (0, 220, 0), 0: (0, 220, 255), -1: (160, 160, 160)}[v]
        x1, y1, x2, y2 = (int(round(c)) for c in row[2:])
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, 1)
        cv2.putText(image, f"{CLASSES[int(row[1])][0]}{row[0]:.2f}", (x1, y1 - 2), cv2.FONT_HERSHEY_PLAIN, 0.7, colour, 1)
    cv2.imwrite(f"{folder}/{number:04}.png", image)


if __name__ == "__main__":
    main()
