#!/usr/bin/env python3
"""Is every event there after the broker was killed for ten minutes, and the daemon in the midst of that, twice?

Sixteen cameras of which each frame is looked at (small files, every_frame), a scripted detector in whose script objects cross a line at
frames that are known, and a rule that makes an event of each crossing. A subscriber with a session that outlives its connection. Then:
kill -9 of mosquitto; a third of the time later kill -9 of the daemon, which is started again; the same after another third; at the end
mosquitto is started again, and the subscriber last of all.

Three records of the events are held against what the subscriber has:
  script     each crossing up to the frame that /metrics said was looked at, just before a kill
  disk       what stood in the queue's files right after each kill, read here by the description of the format
  seq        of each run of the daemon and camera, from 0 on without a gap
What cannot be known: events between the last look at /metrics and the kill that were not on the disk yet. They were on no record.
Then what a restart has to know: each run of the daemon that was killed had every object's track, and a zone event of each, under way, so
the next one must tell exactly those ends (`"ended": "restart"`), of the crashed run; and the counts that the broker retains at the end are
held against the crossings that were told: a crash may cost what was counted in the last 0.2 s.

Of each event: whether it came, how often, in which order within its camera (runs of the daemon in their order, and `seq` within one), and
whether `delayed` is told. Of frame messages, at the last look at each run: handed to the broker + dropped + waiting = looked at.
"""

import collections
import json
import struct
import sys
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from rig import Daemon, Load, Rig, arguments, describe_machine, table

PERIOD, WARM_UP = 20, 40
WIDTH, HEIGHT = 160, 96
MARK = bytes([0xE9, 0xC5, 0x0B, 0xF7])
BROKER = "max_queued_messages 0\nmax_inflight_messages 100\npersistence true\npersistence_location FOLDER/\nautosave_interval {autosave}\nuser root\n"


def crossings(frame, objects):
    """Events that a frame makes: each object goes from one side of the line to the other twice in a period."""
    return objects if frame % PERIOD in (5, 16) else 0


def script(path, cameras, frames, objects):
    with open(path, "w") as out:
        for frame in range(frames):
            step = frame % PERIOD
            foot = 0.365 + 0.03 * min(step, PERIOD - step)
            boxes = []
            for i in range(objects):
                top, x = 0.05 + 0.9 * i / objects, foot - 0.125
                box = [round(v, 2) for v in (WIDTH * x, HEIGHT * top, WIDTH * (x + 0.25), HEIGHT * (top + 0.7 / objects))]
                boxes.append({"class": "person", "confidence": 0.9, "bbox": box})
            for camera in cameras:
                out.write(json.dumps({"stream": camera, "seq": frame, "detections": boxes}) + "\n")


def configuration(rig, args, cameras, video):
    zone = '[[camera.rule]]\nname = "zone"\nkind = "zone"\nzone = [[0, 0], [1, 0], [1, 1], [0, 1]]\n'
    rule = f'{zone}[[camera.rule]]\nname = "line"\nkind = "line"\nline = [[0.5, 1], [0.5, 0]]\nstrictness = "loose"\ncooldown = 0\n'
    text = f'[queue]\ndirectory = "{rig.folder}/queue"\nmax_mb = 4096\nkeep_acknowledged = "{args.keep_acknowledged:g}s"\nreplay_rate = {args.replay_rate}\n'
    text += f'[[model]]\nname = "m"\nscripted = "{rig.folder}/script.jsonl"\nclasses = ["person"]\n'
    for camera in cameras:
        text += f'[[camera]]\nname = "{camera}"\nurl = "file:{video}"\nrepeat = true\nevery_frame = true\n{rule}'
    return text


class Session:
    """A subscriber to events and ends of tracks whose session the broker keeps. `rows[camera]`: (boot_id, seq, frame, delayed, rule) of
    events in the order of coming; `ends[kind, of_boot]`: (camera, identity) of what a restart ended; `counts[camera]`: in and out."""

    def __init__(self, port):
        self.rows, self.ends, self.counts = collections.defaultdict(list), collections.defaultdict(set), {}
        self.lock, self.count, ready = threading.Lock(), 0, threading.Event()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="outage", protocol=mqtt.MQTTv5)
        self.client.on_message, self.client.on_subscribe = self._take, lambda *_: ready.set()
        kept = Properties(PacketTypes.CONNECT)
        kept.SessionExpiryInterval = 86400
        self.client.connect("127.0.0.1", port, clean_start=False, properties=kept)
        self.client.loop_start()
        self.client.subscribe([(f"egret/robust/cam/+/{what}", 1) for what in ("event/+", "track/end", "count/line")])
        if not ready.wait(30):
            raise SystemExit("the broker does not answer")

    def _take(self, _client, _data, message):
        row = json.loads(message.payload)
        with self.lock:
            self.count += 1
            if row.get("ended") == "restart":
                self.ends[row["kind"], row["of_boot"]].add((row["camera"], row.get("track") or row["event"]))
            if row["kind"] == "event":
                self.rows[row["camera"]].append((row["boot_id"], row["seq"], row["frame"], row.get("delayed", False), row["rule"]))
            elif row["kind"] == "count":
                self.counts[row["camera"]] = row["total"]["in"] + row["total"]["out"]

    def leave(self):
        self.client.loop_stop()

    def come_back(self):
        self.client.reconnect()
        self.client.loop_start()


def on_disk(folder):
    """Events in the queue's files: (camera, boot_id) to their `seq` and `frame`. The format is described in spool/frame.rs and record.rs."""
    found = collections.defaultdict(dict)
    for path in sorted(folder.glob("*.event")):
        data, at = path.read_bytes(), 16
        while data[at : at + 4] == MARK:
            (length,) = struct.unpack_from("<I", data, at + 4)
            body, at = data[at + 12 : at + 12 + length], at + 12 + length
            if len(body) < length or body[0] != 1:
                continue
            place = 1 + 1 + 2 + 8 + 8 + 8 + 8
            for _ in range(3):
                place += 2 + struct.unpack_from("<H", body, place)[0]
            row = json.loads(body[place + 1 :])
            found[row["camera"], row["boot_id"]][row["seq"]] = row["frame"]
    return found


class Run:
    """One run of the daemon, from its start to its kill."""

    def __init__(self, rig, config, number, cameras):
        self.rig, self.cameras = rig, cameras
        self.daemon = Daemon(rig, config, f"run-{number}")
        rig.wait(lambda: all(self.daemon.scrape().state(c) == "online" for c in cameras), "every camera is online", self.daemon.log, 120)
        self.load = Load([self.daemon.pid])

    def look(self):
        scrape = self.daemon.scrape()
        self.share = self.load.shares()[0]
        self.inferred = {camera: frames[1] for camera, frames in scrape.frames().items()}
        self.lost = sum(frames[2] for frames in scrape.frames().values())
        published, dropped = scrape.by("egret_mqtt_published_total", "family"), scrape.by("egret_mqtt_dropped_total", "family")
        self.frames = {"looked at": sum(self.inferred.values()), "handed on": int(published["frame"]), "shed": int(dropped["frame"])}
        self.events_given_up = int(dropped["event"])
        self.rules = int(sum(scrape.by("egret_rule_events_total", "camera").values()))
        self.kept = int(sum(value for _, value in scrape.rows["egret_mqtt_kept"]))
        return self

    def kill(self):
        self.look()
        self.rig.kill(self.daemon.process)
        self.disk = on_disk(self.rig.folder / "queue")
        return self


def judge(args, cameras, runs, session):
    """Prints the findings; whether all is as it has to be."""
    problems, order = [], {}
    received = {camera: list(dict.fromkeys((boot, seq) for boot, seq, *_ in rows)) for camera, rows in session.rows.items()}
    crossed = {(camera, boot, seq): frame for camera, rows in session.rows.items() for boot, seq, frame, _, rule in rows if rule == "line"}
    boots = list(dict.fromkeys(boot for camera in cameras for boot, _ in received.get(camera, [])))
    if len(boots) != len(runs):
        problems.append(f"events of {len(boots)} runs of the daemon, there were {len(runs)}")
    rows = []
    for number, (run, boot) in enumerate(zip(runs, boots)):
        made = came = disk = missing_disk = gaps = 0
        for camera in cameras:
            seqs = [seq for b, seq in received.get(camera, []) if b == boot]
            gaps += (max(seqs) + 1 if seqs else 0) - len(set(seqs))
            came += len(seqs)
            # What was in flight at the look may not have been told yet: at most a batch.
            until = run.inferred[camera] - args.in_flight
            due = sum(crossings(frame, args.objects) for frame in range(WARM_UP, until))
            have = collections.Counter(crossed[camera, boot, seq] for seq in seqs if (camera, boot, seq) in crossed)
            made += due
            wrong = [f for f in range(WARM_UP, until) if have[f] != crossings(f, args.objects)]
            if wrong:
                problems.append(f"run {number + 1}, {camera}: frames {wrong[:5]} ({len(wrong)}) have other events than the script says")
            there = run.disk.get((camera, boot), {}) if run.disk is not None else {}
            disk += len(there)
            missing_disk += len(set(there) - set(seqs))
        if gaps or missing_disk or run.events_given_up or run.lost:
            problems.append(f"run {number + 1}: {gaps} gaps in seq, {missing_disk} that were on the disk did not come, {run.events_given_up} given up, {run.lost} frames not looked at")
        handed = run.frames
        waiting = handed["looked at"] - handed["handed on"] - handed["shed"]
        if not 0 <= waiting <= 512 + args.in_flight * len(cameras):
            problems.append(f"run {number + 1}: frame messages do not add up: {handed}")
        rows.append([number + 1, run.rules, made, disk if run.disk is not None else "-", came, gaps, *handed.values(), f"{run.share:.0%}"])
    header = ["run", "events by /metrics", "by the script", "on disk at the kill", "received", "missing", "frames looked at", "handed on", "shed", "CPU of the machine"]
    table(header, rows)
    disorder = 0
    for camera in cameras:
        order[camera] = [(boots.index(boot), seq) for boot, seq in received.get(camera, [])]
        disorder += sum(a >= b for a, b in zip(order[camera], order[camera][1:]))
    every = [row for rows in session.rows.values() for row in rows]
    firsts, repeats = sum(map(len, received.values())), len(every) - sum(map(len, received.values()))
    print(f"\n{firsts} events, {repeats} repeats, {sum(row[3] for row in every)} told as delayed, {disorder} out of order within their camera")
    if disorder:
        problems.append(f"{disorder} events out of order")
    for number, boot in enumerate(boots[:-1]):
        ends = {kind: len(session.ends[kind, boot]) for kind in ("track", "event")}
        if set(ends.values()) != {len(cameras) * args.objects}:
            problems.append(f"run {number + 1}: {ends} ends were told by the next run, {len(cameras) * args.objects} of each were under way")
        print(f"run {number + 1} was killed with {len(cameras) * args.objects} tracks and as many visits under way; told to have ended: {ends}")
    told = sum(1 for _ in crossed)
    counted = sum(session.counts.values())
    # At a crossing each object is counted, so a crash costs all of one crossing at most, of each camera.
    allowed = (len(runs) - 1) * len(cameras) * args.objects
    print(f"{told} crossings were told as events; the retained counts say {counted} in and out: {told - counted} fewer (two crashes may cost {allowed})")
    if not 0 <= told - counted <= allowed:
        problems.append("counts are not those of the events")
    for problem in problems:
        print("PROBLEM:", problem)
    return not problems


def main():
    parser = arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long the broker is away")
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--fps", type=int, default=10)
    parser.add_argument("--objects", type=int, default=8, help="in each picture: each makes an event in every tenth frame")
    parser.add_argument("--replay-rate", type=int, default=2000)
    parser.add_argument("--keep-acknowledged", type=float, default=15, help="seconds; more than --autosave")
    parser.add_argument("--autosave", type=int, default=5, help="every so many seconds mosquitto saves its sessions: what it loses when it is killed")
    parser.add_argument("--settle", type=float, default=20, help="before the broker is killed, and after everything has come")
    parser.add_argument("--in-flight", type=int, default=8, help="most frames of a camera that the daemon may hold")
    args = parser.parse_args()
    cameras, seconds = [f"c{i:02}" for i in range(args.cameras)], 60 * args.minutes
    rate = args.cameras * args.fps / PERIOD * 2 * args.objects
    print(describe_machine())
    print(f"{args.cameras} cameras at {args.fps} fps, {rate:.0f} events/s; the broker is away for {seconds:.0f} s, the daemon is killed twice meanwhile\n")
    with Rig(args, BROKER.format(autosave=args.autosave)) as rig:
        script(rig.folder / "script.jsonl", cameras, int(args.fps * (seconds / 2 + 4 * args.settle + 240)), args.objects)
        config = configuration(rig, args, cameras, rig.video(WIDTH, HEIGHT, args.fps))
        session, runs = Session(rig.broker_port), []
        run = Run(rig, config, 1, cameras)
        time.sleep(args.settle)
        rig.kill(rig.broker)
        session.leave()
        began = time.time()
        print(f"0 s: the broker is killed; {session.count} events have come", flush=True)
        for number in (2, 3):
            time.sleep(max(0, began + seconds * (number - 1) / 3 - time.time()))
            runs.append(run.kill())
            print(f"{time.time() - began:.0f} s: the daemon is killed; {run.kept} messages wait on its disk", flush=True)
            run = Run(rig, config, number, cameras)
        time.sleep(max(0, began + seconds - time.time()))
        waiting = run.look().kept
        rig.start_broker()
        back = time.time()
        print(f"{back - began:.0f} s: the broker is back; {waiting} messages wait", flush=True)
        rig.wait(lambda: run.look().kept < rate, "the backlog is gone", run.daemon.log, 60 + waiting / max(args.replay_rate - rate, 1) * 3)
        print(f"{time.time() - began:.0f} s: the backlog is with the broker ({waiting / (time.time() - back):.0f} messages/s and what is new); the subscriber comes", flush=True)
        session.come_back()
        time.sleep(args.settle)
        run.look()
        run.disk = None
        run.daemon.stop()
        last = -1
        while last != session.count:
            last = session.count
            time.sleep(3)
        runs.append(run)
        session.client.disconnect()
        session.leave()
        sound = judge(args, cameras, runs, session)
    print("every event, exactly once after repeats are dropped, in order" if sound else "NOT as it has to be")
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
