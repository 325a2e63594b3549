#!/usr/bin/env python3
"""What latency do live cameras have that send twice what the detector can take, and is each served its share?

First the capacity is found (cameras at a rate beyond it), then a video is coded at the rate that makes twice of it, and the same
cameras send that. The file has no B-frames and is small, so that the simulator takes little of the machine; its share is printed.
A subscriber's messages give, minute by minute, p50 and p99 of `latency_ms` (from capture, by the simulator's sender reports: the same
clock) and, as a check, of the time from capture until the subscriber had the message.
The bound is two frame periods and one inference, the latter taken from /metrics (stage infer).
"""

import pathlib
import statistics
import sys
import time

from rig import ROOT, Daemon, Load, Rig, Sim, Subscriber, arguments, captured, describe_machine, percentile, table

SEARCH_FPS = 50
SHARE = 0.10


def run(rig, args, fps, name, settle, seconds):
    """The daemon with all cameras at a rate, looked at at the start and the end."""
    names = [f"c{i}" for i in range(args.cameras)]
    width, height = map(int, args.size.split("x"))
    sim = Sim(rig, dict.fromkeys(names, f"file:{rig.video(width, height, fps)}"), f"sim-{name}")
    subscriber = Subscriber(rig.broker_port)
    batch = f"max_batch = {args.max_batch}\n" if args.max_batch else ""
    workers = f"workers = {args.workers}\n" if args.workers else ""
    runtime = f'[runtime]\nonnxruntime_library = "{args.onnxruntime}"\n' if args.onnxruntime else ""
    model = f'{runtime}[[model]]\nname = "yolox"\nfile = "{args.model.resolve()}"\n{batch}{workers}'
    cameras = "".join(f'[[camera]]\nname = "{n}"\nurl = "{sim.urls[n]}"\n' for n in names)
    daemon = Daemon(rig, model + cameras, name)
    rig.wait(lambda: all(daemon.scrape().state(n) == "online" for n in names), "every camera is online", daemon.log)
    time.sleep(settle)
    pids = {"egret": daemon.pid, "simulator": sim.pid, "broker and this script": rig.broker.pid}
    loads = {what: Load([pid, "self"] if what.startswith("broker") else [pid]) for what, pid in pids.items()}
    before, began = daemon.scrape(), time.time()
    law = 0
    while time.time() < began + seconds:
        law += any(d != i + x + f for d, i, x, f in daemon.scrape().frames().values())
        time.sleep(1)
    after, ended = daemon.scrape(), time.time()
    shares = {what: load.shares() for what, load in loads.items()}
    rows = {n: [(at, row) for at, row in taken if began <= at <= ended] for n, taken in subscriber.taken().items()}
    daemon.stop()
    subscriber.close()
    sim.process.terminate()
    sim.process.wait(20)
    rig.children.remove(sim.process)
    first, last = before.frames(), after.frames()
    counts = {n: tuple(b - a for a, b in zip(first[n], last[n])) for n in names}
    return counts, rows, after, shares, law, began, ended - began


def main():
    parser = arguments(__doc__)
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "../shared/data/models/yolox_nano.onnx")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--factor", type=float, default=2.0, help="how much more than the capacity is sent")
    parser.add_argument("--fps", type=int, help="of each camera, instead of looking for the capacity")
    parser.add_argument("--size", default="416x234")
    parser.add_argument("--max-batch", type=int, help="default: the daemon's")
    parser.add_argument("--workers", type=int, help="default: the daemon's")
    parser.add_argument("--onnxruntime", type=pathlib.Path, help="libonnxruntime.so; default: where the daemon looks")
    args = parser.parse_args()
    print(describe_machine())
    if not args.model.exists():
        raise SystemExit(f"{args.model} is not there: --model FILE")
    with Rig(args) as rig:
        fps = args.fps
        if not fps:
            counts, *_, seconds = run(rig, args, SEARCH_FPS, "search", 5, 10)
            capacity = sum(inferred for _, inferred, *_ in counts.values()) / seconds
            fps = max(1, round(args.factor * capacity / args.cameras))
            print(f"capacity with {args.cameras} cameras at {SEARCH_FPS} fps: {capacity:.1f} frames/s")
        counts, rows, metrics, shares, law, began, seconds = run(rig, args, fps, "overload", 10, 60 * args.minutes)
    period = 1000 / fps
    stage = lambda family: {l["stage"]: 1000 * v for l, v in metrics.rows[family]}
    mean, p50, p99 = stage("egret_stage_mean_seconds"), stage("egret_stage_p50_seconds"), stage("egret_stage_p99_seconds")
    runtime = metrics.rows["egret_runtime_info"][0][0]["runtime"]
    batch = metrics.by("egret_batched_frames_total", "model")["yolox"] / max(metrics.by("egret_batches_total", "model")["yolox"], 1)
    decoded, inferred = (sum(c[i] for c in counts.values()) for i in (0, 1))
    print(f"{args.cameras} cameras, {args.size} at {fps} fps, {runtime}, batches of {batch:.1f} on average")
    print(f"decoded {decoded / seconds:.1f}/s, inferred {inferred / seconds:.1f}/s: overload {decoded / max(inferred, 1):.2f}\n")
    flat = []
    for minute in range(max(1, round(seconds / 60))):
        ours = [(at, row) for r in rows.values() for at, row in r if minute * 60 <= at - began < minute * 60 + 60]
        capture, held = [row["latency_ms"] for _, row in ours], [1000 * (at - captured(row)) for at, row in ours]
        basis = sorted({row["basis"] for _, row in ours})
        flat.append([minute + 1, len(ours), *(f"{percentile(v, p):.1f}" for v in (capture, held) for p in (50, 99)), "+".join(basis)])
    table(["minute", "messages", "capture p50 ms", "p99", "received p50", "p99", "basis"], flat)
    print("\nstages, the last one or two minutes (ms): " + ", ".join(f"{s} {mean[s]:.1f}/{p99[s]:.1f}" for s in mean) + " (mean/p99)")
    worst, bound = max(float(row[3]) for row in flat), 2 * period + p50["infer"]
    print(f"p99 at most {worst:.1f} ms; two periods and one inference: {2 * period:.1f} + {p50['infer']:.1f} (median; mean {mean['infer']:.1f}, p99 {p99['infer']:.1f}) = {bound:.1f} ms: {'within' if worst <= bound else 'BEYOND'}")
    each = {n: c[1] for n, c in counts.items()}
    average = statistics.mean(each.values())
    fair = all(abs(v / max(average, 1) - 1) <= SHARE for v in each.values())
    print("served: " + ", ".join(f"{n} {v / seconds:.1f}/s ({v / max(average, 1) - 1:+.1%})" for n, v in each.items()) + f": {'fair' if fair else 'UNFAIR'}")
    print(f"law broken in {law} scrapes; CPU: " + ", ".join(f"{what} {ours:.0%}" for what, (ours, _) in shares.items()) + f"; the machine {shares['egret'][1]:.0%}")
    sys.exit(0 if worst <= bound and fair and not law else 1)


if __name__ == "__main__":
    main()
