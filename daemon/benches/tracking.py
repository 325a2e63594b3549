#!/usr/bin/env python3
"""CPU time of trackers, microseconds per frame: egret's, roboflow `trackers`, supervision and similari, on the same boxes in one run.

    python daemon/benches/tracking.py target/release/egret

10, 50 and 200 people of a crowd, 30 frames per second, neighbours overlapping a little. egret's trackers run as `egret track-eval`
runs them; the others by their own interfaces, with the objects that they take made beforehand. The least of several rounds counts.
The interpreter needs numpy and whichever of trackers (2.6), supervision (0.26.1, the last with ByteTrack) and similari-trackers-rs
(0.26) are to be compared; what is missing is said.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import time

FPS = 30
COUNTS = (10, 50, 200)
PATIENCE = 120


def scene(count: int, frame: int) -> list[tuple[float, float, float, float]]:
    """Left, top, right, bottom."""
    boxes = []
    for i in range(count):
        column, row = i % 20, i // 20
        left = 90.0 * column + 30.0 * math.sin(frame / 40.0 + i)
        boxes.append((left, 100.0 * row, left + 60.0, 100.0 * row + 120.0))
    return boxes


def write(folder: pathlib.Path, frames: int) -> None:
    for count in COUNTS:
        for kind in ("det", "gt"):
            (folder / f"C-{count}" / kind).mkdir(parents=True)
        with open(folder / f"C-{count}" / "det" / "det.txt", "w") as det, open(folder / f"C-{count}" / "gt" / "gt.txt", "w") as gt:
            for frame in range(frames):
                for i, (x1, y1, x2, y2) in enumerate(scene(count, frame)):
                    det.write(f"{frame + 1},-1,{x1:.3f},{y1:.3f},{x2 - x1:.3f},{y2 - y1:.3f},0.9,-1,-1,-1\n")
                    gt.write(f"{frame + 1},{i + 1},{x1:.3f},{y1:.3f},{x2 - x1:.3f},{y2 - y1:.3f},1,-1,-1,-1\n")


def egret(binary: str, folder: pathlib.Path, rounds: int) -> dict[str, dict[int, float]]:
    least: dict[str, dict[int, float]] = {}
    for _ in range(rounds):
        command = [binary, "track-eval", "--tracker", "sort,bytetrack,ocsort,egret", "--fps", str(FPS), "--json", "--sequences", folder]
        report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        for tracker in report["trackers"]:
            of = least.setdefault(f"egret: {tracker['tracker']}", {})
            for row in tracker["sequences"]:
                count = int(row["sequence"].rpartition("-")[2])
                of[count] = min(of.get(count, math.inf), row["cpu_us_per_frame"])
    return least


def measured(make, update, inputs, rounds: int) -> float:
    least = math.inf
    for _ in range(rounds):
        tracker = make()
        for boxes in inputs[:20]:
            update(tracker, boxes)
        before = time.process_time()
        for boxes in inputs[20:]:
            update(tracker, boxes)
        least = min(least, (time.process_time() - before) / (len(inputs) - 20) * 1e6)
    return least


def peer(name: str):
    """How to make the tracker, feed it and convert boxes for it, and what it is called."""
    if name == "similari":
        import similari

        def boxes_of(boxes):
            return [(similari.BoundingBox(x1, y1, x2 - x1, y2 - y1).as_xyaah(), None) for x1, y1, x2, y2 in boxes]

        def sort():
            metric = similari.PositionalMetricType.iou(threshold=0.3)
            return similari.Sort(shards=1, bbox_history=10, max_idle_epochs=30, method=metric)

        return "similari: Sort", sort, lambda t, d: t.predict(d), boxes_of
    import numpy as np
    import supervision as sv

    def detections(boxes):
        n = len(boxes)
        return sv.Detections(xyxy=np.array(boxes), confidence=np.full(n, 0.9), class_id=np.zeros(n, dtype=int))

    if name == "supervision":
        make = lambda: sv.ByteTrack(frame_rate=FPS)  # noqa: E731
        return f"supervision {sv.__version__}: ByteTrack", make, lambda t, d: t.update_with_detections(d), detections
    import trackers

    return f"roboflow trackers: {name}", getattr(trackers, name), lambda t, d: t.update(d), detections


PEERS = ("supervision", "SORTTracker", "ByteTrackTracker", "OCSORTTracker", "CBIoUTracker", "similari")


def peers(frames: int, rounds: int) -> dict[str, dict[int, float]]:
    """Each in a process of its own: some crash, some do not finish."""
    found: dict[str, dict[int, float]] = {}
    for name in PEERS:
        for count in COUNTS:
            command = [sys.executable, __file__, "--peer", name, str(count), "--frames", str(frames), "--rounds", str(rounds)]
            try:
                told = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                print(f"{name}, {count} objects: did not finish in {PATIENCE} s", file=sys.stderr)
                continue
            if told.returncode != 0:
                why = told.stderr.strip().splitlines()[-1:] or [f"exit {told.returncode}"]
                print(f"SKIPPED: {name}, {count} objects: {why[0]}", file=sys.stderr)
                continue
            title, least = json.loads(told.stdout)
            found.setdefault(title, {})[count] = least
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("egret", nargs="?", help="the binary, a release build")
    parser.add_argument("--peer", nargs=2, metavar=("NAME", "COUNT"), help="one other tracker alone; prints JSON")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.peer:
        title, make, update, convert = peer(args.peer[0])
        inputs = [convert(scene(int(args.peer[1]), frame)) for frame in range(args.frames)]
        print(json.dumps([title, measured(make, update, inputs, args.rounds)]))
        return
    with tempfile.TemporaryDirectory() as folder:
        write(pathlib.Path(folder), args.frames)
        rows = egret(args.egret, pathlib.Path(folder), args.rounds)
    rows |= peers(args.frames, args.rounds)
    print(f"{'CPU us per frame':40}" + "".join(f"{count:>12}" for count in COUNTS))
    for name, of in sorted(rows.items(), key=lambda row: min(row[1].values())):
        print(f"{name:40}" + "".join(f"{of[count]:12.1f}" if count in of else f"{'-':>12}" for count in COUNTS))


if __name__ == "__main__":
    main()
