#!/usr/bin/env python3
"""Does the daemon grow with the reconnects of its cameras?

Several simulated cameras over RTSP lose their connections at once, again and again. Whenever another twenty reconnects have happened and
every camera is online again, the daemon's threads, descriptors and resident memory are read from /proc: that is the curve.
The slope is that of a straight line through what was read after the warm-up. The verdict: threads and descriptors of the last look are
no more than those at the end of the warm-up, and the memory that the line gained since is no more than the looks' own spread around it.
"""

import sys
import time

from rig import Daemon, Rig, Sim, Subscriber, arguments, describe_machine, process_memory, table

STEP = 20


def line_through(points):
    """Slope, and how far the points lie around it (largest residual less the smallest)."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    square = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / square if square else 0.0
    residuals = [y - mean_y - slope * (x - mean_x) for x, y in points]
    return slope, max(residuals) - min(residuals)


def main():
    parser = arguments(__doc__)
    parser.add_argument("--reconnects", type=int, default=1000, help="after the warm-up")
    parser.add_argument("--warm-up", type=int, default=200, help="reconnects before anything is judged: the allocator's pools fill first")
    parser.add_argument("--cameras", type=int, default=10)
    parser.add_argument("--fault", default="drop", help="what happens to each camera, e.g. drop or codec:h265")
    args = parser.parse_args()
    print(describe_machine())
    with Rig(args) as rig:
        names = [f"c{i:02}" for i in range(args.cameras)]
        sim = Sim(rig, dict.fromkeys(names, f"file:{rig.video(320, 240, 5)}"))
        cameras = "".join(f'[[camera]]\nname = "{name}"\nurl = "{sim.urls[name]}"\n' for name in names)
        subscriber = Subscriber(rig.broker_port)
        daemon = Daemon(rig, f'[[model]]\nname = "m"\nbuiltin = "null"\n{cameras}', "daemon")
        print(f"{args.cameras} cameras, 320x240 at 5 fps, builtin:null, fault {args.fault}; judged after {args.warm_up} reconnects\n")

        def settled(sessions):
            """Every camera has had its next session and frames from it."""
            metrics = daemon.scrape()
            now = metrics.by("egret_camera_reconnects_total", "camera")
            return all(metrics.state(name) == "online" and now[name] > before for name, before in sessions.items())

        rig.wait(lambda: settled(dict.fromkeys(names, -1)), "every camera is online", daemon.log)
        looks, began = [], time.monotonic()
        header = ["reconnects", "seconds", "threads", "descriptors", "resident MiB"]
        print("  ".join(header))
        while not looks or looks[-1][0] < args.warm_up + args.reconnects:
            sessions = daemon.scrape().by("egret_camera_reconnects_total", "camera")
            total = int(sum(sessions.values()))
            if not looks or total >= looks[-1][0] + STEP:
                looks.append((total, *process_memory(daemon.pid)))
                cells = [total, f"{time.monotonic() - began:.0f}", looks[-1][1], looks[-1][2], f"{looks[-1][3]:.1f}"]
                print("  ".join(str(cell).rjust(len(head)) for cell, head in zip(cells, header)), flush=True)
            for name in names:
                sim.tell(f"fault {name} {args.fault}")
            rig.wait(lambda: settled(sessions), "every camera is back", daemon.log)
        law = all(d == i + x + f for d, i, x, f in daemon.scrape().frames().values())
        daemon.stop()
        subscriber.close()
    judged = [look for look in looks if look[0] >= args.warm_up]
    rows, ok = [], law
    for i, what in enumerate(header[2:], start=1):
        slope, spread = line_through([(look[0], look[i]) for look in judged])
        gained = slope * (judged[-1][0] - judged[0][0])
        fine = gained <= spread if what == "resident MiB" else judged[-1][i] <= judged[0][i]
        ok &= fine
        rows.append([what, f"{judged[0][i]:.4g}", f"{judged[-1][i]:.4g}", f"{100 * slope:+.3f}", f"{gained:+.2f}", f"{spread:.2f}", "no growth" if fine else "GROWS"])
    print(f"\nafter the warm-up, {judged[-1][0] - judged[0][0]} reconnects:")
    table(["", "first", "last", "slope per 100", "gained", "spread around it", ""], rows)
    print(f"decoded = inferred + dropped + in flight at the end: {'yes' if law else 'NO'}")
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
