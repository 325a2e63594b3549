"""The same records through SQLite (WAL, synchronous=FULL), for comparison: python3 daemon/benches/spool_sqlite.py

Each record is inserted, read back and deleted again as acknowledged, with a commit after each batch. The database stands in TMPDIR.
"""

import os
import sqlite3
import tempfile
import time

PAYLOAD = b"x" * 700
CAMERAS = ["gate", "yard", "street", "dock"]


def written():
    with open("/proc/self/io") as io:
        return next(int(line.split()[1]) for line in io if line.startswith("write_bytes"))


def run(batch, count):
    with tempfile.TemporaryDirectory() as folder:
        base = sqlite3.connect(os.path.join(folder, "queue.db"), isolation_level=None)
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=FULL")
        base.execute("CREATE TABLE queue (number INTEGER PRIMARY KEY, camera TEXT, id TEXT, topic TEXT, payload BLOB)")
        before, begun = written(), time.monotonic()
        for number in range(count):
            if number % batch == 0:
                base.execute("BEGIN")
            camera = CAMERAS[number % len(CAMERAS)]
            row = (number, camera, "6f1c8e0a-event-0000001234", "egret/box1/cam/gate/event/fence", PAYLOAD)
            base.execute("INSERT INTO queue VALUES (?, ?, ?, ?, ?)", row)
            base.execute("SELECT * FROM queue WHERE number = ?", (number,)).fetchone()
            # Acknowledged a batch later, as a broker would.
            base.execute("DELETE FROM queue WHERE number = ?", (number - batch,))
            if number % batch == batch - 1 or number == count - 1:
                base.execute("COMMIT")
        seconds = time.monotonic() - begun
        base.close()
        amplification = (written() - before) / (count * len(PAYLOAD))
        print(f"SQLite, committed by {batch}: {count / seconds:,.0f} records/s, {amplification:.2f} bytes in pages for each byte of a message")


for size in (1, 16, 64, 256):
    run(size, 512 if size == 1 else 4096)
