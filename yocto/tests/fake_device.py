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
        for name in ("data/config", "data/update", "run", "proc", "usr/share/egret", "fakes", "real"):
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

    def count(self, *names):
        """Counts calls of these commands and, at the one whose number is `CUT`, ends the script and all that it started: the power goes
        before that command, and what lies between two of them is written by the shell itself."""
        for name in names:
            real = shutil.which(name, path=self.environment["PATH"])
            if (self.bin / name).exists():
                real = (self.bin / name).rename(self.root / "real" / name)
            self.fake(
                name,
                f'n=$(($(cat "{self.root}/count") + 1)); echo $n >"{self.root}/count"\n'
                f'if [ $n -eq "$CUT" ]; then kill -9 -"$(cut -d" " -f5 /proc/$$/stat)"; fi\n"{real}" "$@"',
            )

    def run_until(self, cut, *arguments, **environment):
        """Runs the script until its `cut`th counted command since `count` was last written; 0: to its end. Whether it came to its end."""
        done = subprocess.run(
            [SHELL, str(self.program), *map(str, arguments)],
            env={**self.environment, "CUT": str(cut), **environment},
            cwd=self.root, capture_output=True, text=True, timeout=60, check=False, start_new_session=True,
        )
        if done.returncode != -9:
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.returncode == 0

    def run_on_disk(self, state, *arguments):
        """Runs the script with /data on a disk of its own that is `full` or `read-only`. Exit status, what was said, and the folder that
        /data was afterwards."""
        private = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
        after = self.root / "after"
        shutil.rmtree(after, ignore_errors=True)
        script = f'''set -e
cp -a "{self.root}/data" "{after}"
mount -t tmpfs -o size=256k none "{self.root}/data"
cp -a "{after}/." "{self.root}/data/"
case {state} in
full) cat /dev/zero >"{self.root}/data/filler" 2>/dev/null || : ;;
read-only) mount -o remount,ro "{self.root}/data" ;;
esac
status=0
PATH="$INSIDE" "$@" || status=$?
mount -o remount,rw "{self.root}/data"
rm -rf "{self.root}/data/filler" "{after}"
cp -a "{self.root}/data" "{after}"
exit $status'''
        if subprocess.run([*private, "mount", "-t", "tmpfs", "none", self.root / "run"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no file system can be mounted here")
        done = subprocess.run(
            [*private, "sh", "-c", script, "sh", shutil.which(SHELL), str(self.program), *map(str, arguments)],
            env={**self.environment, "PATH": os.environ["PATH"], "INSIDE": self.environment["PATH"]},
            cwd=self.root, capture_output=True, text=True, timeout=60, check=False,
        )
        return done.returncode, done.stdout + done.stderr, after
