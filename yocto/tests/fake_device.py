"""A device that is a folder: a root file system below a prefix, and commands on PATH that do as told and write down their calls."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

LAYER = Path(__file__).resolve().parent.parent / "meta-egret"
# BusyBox's shell reads nothing that dash does not; bash would.
SHELL = shutil.which("dash") or "sh"


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
        self.environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
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
