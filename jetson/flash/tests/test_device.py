"""What runs on the device or asks it: power-mode.sh, detect.sh, verify.sh, the unit."""

import pathlib
import shutil
import subprocess
import unittest

from test_prepare import Case
from world import SCRIPTS

# The names and numbers are those that public logs of these boards show.
ORIN_NANO = "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< POWER_MODEL ID=3 NAME=7W >\n"
NVPMODEL = """called nvpmodel "$@"; read -r answer; called answer "$answer"
[ ! -e "$WORLD/needs-restart" ] || { echo "NVPM WARN: Reboot required for changing to this power mode: $2"; exit 1; }
[ ! -e "$WORLD/broken" ] || { echo "NVPM ERROR: no"; exit 1; }
printf 'pmode:%04d fmode:fanNull\\n' "$2" >"$EGRET_FLASH_ROOT/var/lib/nvpmodel/status"
"""


class Device(Case):
    def setUp(self):
        super().setUp()
        self.device("nvidia,p3768-0000+p3767-0005-super nvidia,p3767-0005 nvidia,tegra234", "36", "5.0")
        self.world.file("root/etc/nvpmodel.conf", "# a comment\n" + ORIN_NANO)
        self.world.file("root/var/lib/nvpmodel/status", "pmode:0001 fmode:fanNull\n")
        self.world.program("nvpmodel", NVPMODEL)

    def device(self, compatible, branch, revision, model="NVIDIA Jetson"):
        self.world.file("root/proc/device-tree/compatible", "".join(n + "\0" for n in compatible.split()))
        self.world.file("root/proc/device-tree/model", model + "\0")
        self.world.file("root/etc/nv_tegra_release", f"# R{branch} (release), REVISION: {revision}, GCID: 1, BOARD: generic, EABI: aarch64\n")

    def mode(self, *arguments, code=0):
        done = self.world.run("power-mode.sh", *arguments)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done


class PowerMode(Device):
    def test_by_name(self):
        self.assertEqual(self.mode("--list").stdout.split(), ["15W", "25W", "MAXN_SUPER", "7W"])
        self.assertEqual(self.mode("--show").stdout, "25W\n")
        self.assertEqual(self.mode("--dry-run", "MAXN_SUPER").stdout, "+ nvpmodel -m 2   # MAXN_SUPER\n")
        self.assertEqual(self.mode("MAXN_SUPER").calls, ["nvpmodel -m 2", "answer no"])
        self.assertEqual(self.mode("--show").stdout, "MAXN_SUPER\n")
        again = self.mode("MAXN_SUPER")
        self.assertEqual((again.calls, again.stdout), ([], "power mode: MAXN_SUPER, as it was\n"))

    def test_refusals(self):
        self.assertIn("by name, since the numbers differ", self.mode("2", code=2).stderr)
        self.assertIn("no such power mode; it has: 15W 25W MAXN_SUPER 7W", self.mode("MAXN", code=1).stderr)
        self.assertIn("unknown option", self.mode("--fast", code=2).stderr)
        self.assertIn("one argument", self.mode(code=2).stderr)
        self.world.file("broken", "")
        self.assertIn("did not set it: NVPM ERROR: no", self.mode("7W", code=1).stderr)
        (self.world.at / "root/etc/nvpmodel.conf").unlink()
        self.assertIn("not a Jetson", self.mode("--list", code=1).stderr)

    def test_a_restart_is_never_a_surprise(self):
        self.world.file("needs-restart", "")
        done = self.mode("MAXN_SUPER", code=3)
        self.assertIn("needs a restart", done.stderr)
        self.assertEqual(done.calls, ["nvpmodel -m 2", "answer no"])

    def test_the_configured_one_restarts_once(self):
        self.assertEqual(self.mode("--configured").calls, [])
        self.world.file("root/etc/egret/power-mode", "MAXN_SUPER\n")
        self.world.file("needs-restart", "")
        self.assertEqual(self.mode("--dry-run", "--configured").stdout, "+ nvpmodel -m 2   # MAXN_SUPER\n")
        self.assertEqual(self.mode("--configured").calls, ["nvpmodel -m 2", "answer yes"])
        # Started again, and still not set: no second restart.
        self.assertEqual(self.mode("--configured", code=3).calls, ["nvpmodel -m 2", "answer no"])
        (self.world.at / "needs-restart").unlink()
        self.assertEqual(self.mode("--configured").stdout, "power mode: MAXN_SUPER\n")
        self.assertEqual(self.mode("--configured").calls, [])

    @unittest.skipUnless(shutil.which("systemd-analyze"), "SKIPPED: systemd-analyze is not installed")
    def test_the_unit(self):
        unit = self.world.file("egret-power-mode.service", (SCRIPTS / "egret-power-mode.service").read_text().replace(
            "/usr/local/lib/egret/power-mode.sh --configured", "/bin/true"))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))


class Detect(Device):
    def test_boards_and_releases(self):
        for compatible, branch, revision, words in (
            ("nvidia,p3768-0000+p3767-0005-super nvidia,p3767-0005 nvidia,tegra234", "36", "5.0", "Orin Nano 8GB (developer kit)|orin-nano|t234|36.5.0|6.2.2"),
            ("nvidia,p3768-0000+p3767-0000 nvidia,p3767-0000 nvidia,tegra234", "36", "4.3", "Orin NX 16GB|orin-nx|t234|36.4.3|6.2"),
            ("nvidia,p3768-0000+p3767-0001 nvidia,p3767-0001 nvidia,tegra234", "39", "2.0", "Orin NX 8GB|orin-nx|t234|39.2.0|7.2"),
            ("nvidia,p3768-0000+p3767-0004 nvidia,p3767-0004 nvidia,tegra234", "36", "4.7", "Orin Nano 4GB|orin-nano|t234|36.4.7|6.2.1"),
            ("nvidia,p3768-0000+p3767-0003 nvidia,p3767-0003 nvidia,tegra234", "36", "4.0", "Orin Nano 8GB|orin-nano|t234|36.4.0|6.1"),
            ("nvidia,p3737-0000+p3701-0000 nvidia,p3701-0000 nvidia,tegra234", "36", "3.0", "AGX Orin (developer kit)|agx-orin|t234|36.3.0|6.0"),
            ("nvidia,p3737-0000+p3701-0005 nvidia,p3701-0005 nvidia,tegra234", "39", "2.1", "AGX Orin 64GB|agx-orin|t234|39.2.1|7.2.1"),
            ("nvidia,p3737-0000+p3701-0004 nvidia,p3701-0004 nvidia,tegra234", "35", "6.4", "AGX Orin 32GB|agx-orin|t234|35.6.4|5.1.6"),
            ("nvidia,p4071-0000+p3834-0008 nvidia,p3834-0008 nvidia,tegra264", "38", "4.0", "Thor T5000|agx-thor|t264|38.4.0|7.1"),
            ("nvidia,p2888-0001 nvidia,tegra194", "35", "5.0", "unknown|unknown|other|35.5.0|5.1"),
        ):
            self.device(compatible, branch, revision)
            done = self.world.run("detect.sh")
            self.assertEqual(done.returncode, 0, done.stderr)
            said = dict(line.split("=", 1) for line in done.stdout.splitlines())
            module, board, chip, release, jetpack = words.split("|")
            self.assertEqual((said["module"].removeprefix("Jetson "), said["board"], said["chip"], said["release"], said["jetpack"]),
                             (module, board, chip, release, jetpack))
            self.assertEqual((said["power_mode"], said["rootfs_ab"]), ("25W", "unknown"))

    def test_ab_is_the_exit_status_of_nvbootctrl(self):
        for status, answer in ((0, "off"), (1, "A"), (2, "B"), (64, "unknown")):
            self.world.program("nvbootctrl", f'[ "$*" = "-t rootfs is-rootfs-ab-enabled" ] || exit 99; exit {status}')
            self.assertIn(f"rootfs_ab={answer}\n", self.world.run("detect.sh").stdout)

    def test_files_that_are_missing_and_machines_that_are_no_jetson(self):
        (self.world.at / "root/etc/nv_tegra_release").unlink()
        shutil.rmtree(self.world.at / "root/var")
        done = self.world.run("detect.sh")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.mode("--show").stdout, "")
        for line in ("release=unknown", "jetpack=unknown", "power_mode=unknown", "model=NVIDIA Jetson"):
            self.assertIn(line + "\n", done.stdout)
        shutil.rmtree(self.world.at / "root/proc/device-tree")
        done = self.world.run("detect.sh")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "^detect: no Jetson.*\n$")
        done = self.world.run("detect.sh", "--x")
        self.assertEqual((done.returncode, done.stdout), (2, ""))


class Verify(Device):
    """The scripts really run, in a shell that stands for the device's."""

    def setUp(self):
        super().setUp()
        w = self.world
        self.prepared(*w.arguments("--power-mode", "25W"))
        w.program("dpkg-query", 'case $* in *Status*) printf installed ;; *) printf 1.2.3 ;; esac')
        w.program("systemctl", 'case $1 in is-active) cat "$WORLD/active" ;; *) echo running ;; esac')
        w.program("nvbootctrl", "exit 0")
        w.program("cat", '[ "$1" != /etc/hostname ] || exec /bin/cat "$WORLD/hostname"; exec /bin/cat "$@"')
        w.file("active", "active\n")
        w.file("hostname", "cam-07\n")

    def verify(self, *more):
        return self.world.run("verify.sh", "--work", self.world.work, "--host", "192.168.55.1", *more)

    def test_a_device_that_is_as_prepared(self):
        done = self.verify("--identity", "id")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("Jetson Orin Nano 8GB (developer kit), JetPack 6.2.2, egret 1.2.3", done.stdout)
        self.assertEqual(done.stdout.count("\nok "), 8)
        self.assertRegex(done.calls[0], "^ssh -o BatchMode=yes .*StrictHostKeyChecking=accept-new .*known-hosts-device -i id "
                                        "-o IdentitiesOnly=yes keeper@192.168.55.1 ")

    def test_what_is_not_as_prepared_is_named(self):
        self.device("nvidia,p3768-0000+p3767-0000 nvidia,p3767-0000 nvidia,tegra234", "36", "4.3")
        self.world.file("root/var/lib/nvpmodel/status", "pmode:0000\n")
        self.world.file("active", "failed\n")
        self.world.program("nvbootctrl", "exit 1")
        done = self.verify()
        self.assertEqual(done.returncode, 1)
        for what in (r"board +orin-nx, wanted orin-nano", r"Jetson Linux +36.4.3, wanted 36.5.0", "power mode +15W, wanted 25W",
                     "egret.service +failed, wanted active", "root A/B +A, wanted off"):
            self.assertRegex(done.stdout, "FAILED  " + what)
        self.assertIn("journalctl -u egret", done.stderr)

    def test_either_slot_will_do(self):
        self.prepared(*self.world.arguments("--power-mode", "25W", "--ab"))
        for status, code in ((0, 1), (1, 0), (2, 0)):
            self.world.program("nvbootctrl", f"exit {status}")
            self.assertEqual(self.verify().returncode, code)

    def test_no_answer(self):
        self.world.file("ssh-fails", "")
        done = self.verify()
        self.assertEqual(done.returncode, 1)
        self.assertIn("did not answer as keeper", done.stderr)
        self.assertEqual(self.verify("--host", "-oProxyCommand=x").returncode, 2)
        self.assertEqual(self.verify("--label", "../x").returncode, 2)
        prepared = pathlib.Path(self.world.work / "prepared")
        prepared.write_text(prepared.read_text().replace("user=", "usr="))
        done = self.verify("--dry-run")
        self.assertEqual((done.returncode, done.calls), (1, []))
        self.assertIn("is damaged: it has no line user=", done.stderr)
        prepared.unlink()
        self.assertIn("nothing is prepared", self.verify().stderr)

    def test_dry_run(self):
        done = self.verify("--dry-run")
        self.assertEqual((done.returncode, done.calls), (0, []))
        self.assertIn("  + ssh -o BatchMode=yes", done.stdout)


if __name__ == "__main__":
    unittest.main()
