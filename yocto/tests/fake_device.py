"""A device that is a folder: a root file system below a prefix, and commands on PATH that do as told and write down their calls.

With EGRET_TEST_BUSYBOX=/usr/bin/busybox the scripts run with BusyBox's applets, as on the image, in place of coreutils. The shell stays
dash: BusyBox's own, as Debian builds it, takes its applets before what is on PATH, where the fakes are.
"""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

LAYER = Path(__file__).resolve().parent.parent / "meta-egret"
# bash would read more than the image's shell does.
SHELL = shutil.which("dash") or "sh"
BUSYBOX = os.environ.get("EGRET_TEST_BUSYBOX")


class FakeDevice(unittest.TestCase):
    """`self.root` is the device's /, `self.bin` comes first on PATH, `self.calls()` tells what the fakes were called with."""

    program: Path

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="egret-device-")
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.bin = self.root / "fakes"
        self.log = self.root / "calls"
        for name in ("data/config", "data/update", "run", "proc", "usr/share/egret", "fakes"):
            (self.root / name).mkdir(parents=True)
        path = os.environ["PATH"]
        if BUSYBOX:
            applets = self.root / "busybox"
            applets.mkdir()
            for name in subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split():
                (applets / name).symlink_to(BUSYBOX)
            path = f"{applets}:{path}"
        self.environment = {
            "PATH": f"{self.bin}:{path}",
            "EGRET_ROOT": str(self.root),
            "LC_ALL": "C",
            "HOME": str(self.root),
        }

    def fake(self, name, body=":"):
        """A command that writes down its name and arguments, then runs BODY (shell)."""
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.log}"\n{body}\n')
        path.chmod(0o755)

    def calls(self, name=None):
        if not self.log.exists():
            return []
        lines = self.log.read_text().splitlines()
        return [line for line in lines if name is None or line.split()[0] == name]

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def read(self, name):
        path = self.root / name
        return path.read_text() if path.exists() else None

    def run_program(self, *arguments, ok=True, **environment):
        """Runs the script; returns what it said. `ok=None`: whatever its exit status."""
        done = subprocess.run(
            [SHELL, str(self.program), *map(str, arguments)],
            env={**self.environment, **environment},
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = done.stdout + done.stderr
        if ok is not None:
            self.assertEqual(done.returncode == 0, ok, said)
        return said
