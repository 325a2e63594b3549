"""flash.sh: what it calls for each board, what it refuses, and that it begins from the start after an interruption."""

import fcntl
import unittest

from test_prepare import Case
from world import SCRIPTS

# A module of each board, as its USB id in recovery mode.
IDS = {"orin-nano": "7523", "orin-nx": "7323", "agx-orin": "7023", "agx-thor": "7026"}
JETPACKS = {"36.5.0": "6.2.2", "39.2.0": "7.2"}


def rows():
    lines = (SCRIPTS / "boards.tsv").read_text().splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


class Flash(Case):
    def prepare(self, board="orin-nano", jetpack="6.2.2", *more):
        self.prepared(*self.world.arguments(*more, board=board, jetpack=jetpack))
        self.world.usb(IDS[board])

    def flash(self, *more, **environment):
        return self.world.run("flash.sh", "--work", self.world.work, *more, **environment)

    def refused(self, why, *more, code=1, **environment):
        done = self.flash(*(more or ["--yes"]), **environment)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertRegex(self.world.text(done.stderr), why)
        self.assertFalse([c for c in done.calls if "flash" in c], "it was flashed all the same")


class Commands(Flash):
    def test_of_every_board(self):
        """All that is ever run, in one file to be read: golden/flash.txt."""
        text = ""
        for board, storage, release, *_ in rows():
            for ab in ([], ["--ab"]):
                self.prepare(board, JETPACKS[release], "--storage", storage, *ab)
                done = self.flash("--dry-run")
                self.assertEqual(done.returncode, 0, done.stderr)
                text += f"{board} {storage} JetPack {JETPACKS[release]} {' '.join(ab)}\n" + done.stdout.splitlines()[-2] + "\n"
        self.golden("flash.txt", text)
        page = (SCRIPTS.parent.parent / "docs/flashing.md").read_text()
        for line in text.splitlines()[1::2]:
            self.assertIn(line.split("&& ")[1], page, "docs/flashing.md shows every command")

    def test_the_tool_gets_those_arguments(self):
        self.prepare("orin-nano", "6.2.2", "--ab")
        done = self.flash("--yes", "--retries", "5", "--erase-all")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.calls, [
            "lsusb -d 0955:",
            "./tools/kernel_flash/l4t_initrd_flash.sh ROOTFS_AB=1 RETRIES=5 --erase-all --external-device nvme0n1p1 "
            "-c tools/kernel_flash/flash_l4t_t234_nvme_rootfs_ab.xml -p -c\\ bootloader/generic/cfg/flash_t234_qspi.xml "
            "--showlogs --network usb0 jetson-orin-nano-devkit-super external"])
        self.assertIn("as NVIDIA's tool", (self.world.work / "logs/flash-device.log").read_text())

    def test_dry_run_goes_on_without_board_and_root(self):
        self.prepare()
        self.world.usb()
        before = self.world.tree(stamps=True)
        done = self.flash("--dry-run", FAKE_UID=1000)
        self.assertEqual(done.returncode, 3)
        self.assertIn("! would stop here: no board in recovery mode", done.stdout)
        self.assertIn("l4t_initrd_flash.sh", done.stdout)
        self.assertEqual(before, self.world.tree(stamps=True))


class Again(Flash):
    def tool_calls(self, done):
        return [c for c in done.calls if "l4t_initrd_flash" in c]

    def test_a_second_run_does_nothing(self):
        self.prepare("agx-thor", "7.2")
        self.assertEqual(self.flash("--yes").returncode, 0)
        before = self.world.tree(stamps=True)
        self.world.usb()
        done = self.flash("--yes")
        self.assertEqual((done.returncode, done.calls), (0, []))
        self.assertIn("flashed already", done.stdout)
        self.assertEqual(before, self.world.tree(stamps=True))
        self.world.usb("7026")
        self.assertEqual(len(self.tool_calls(self.flash("--yes", "--again"))), 1)
        self.assertEqual(len(self.tool_calls(self.flash("--yes", "--label", "cam-08"))), 1)
        # What is prepared anew is another thing to flash.
        self.prepare("agx-thor", "7.2", "--power-mode", "MAXN")
        self.assertEqual(len(self.tool_calls(self.flash("--yes"))), 1)

    def test_killed_or_failed_it_begins_from_the_start(self):
        self.prepare("agx-orin", "7.2")
        for point in (2, 3):
            self.assertTrue(self.flash("--yes", kill_at=point).killed)
            done = self.flash("--yes")
            self.assertEqual((done.returncode, len(self.tool_calls(done))), (0, 1), done.stderr)
            self.assertIn("the last flashing of device did not end", done.stderr)
            (self.world.work / "state/flashed-device").unlink()
        failing = self.world.file("flash-fails", "")
        done = self.flash("--yes")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(self.world.text(done.stderr), "NVIDIA's tool failed: see the end of @/work/logs/flash-device.log")
        failing.unlink()
        self.assertIn("did not end", self.flash("--yes").stderr)


class Refuses(Flash):
    def test_boards_that_are_not_there_or_not_alone(self):
        self.prepare()
        w = self.world
        for ids, why in {
            (): "no board in recovery mode: lsusb -d 0955: shows none\n.*FC REC and GND",
            ("7045",): "no board in recovery mode",
            ("7020",): "bus 001 device 011\\) but runs Linux: it is not in recovery mode",
            ("cf00",): "of NVIDIA there is 0955:cf00 on bus 001 device 011, which modules.tsv does not know",
            ("7523", "7523"): "several boards are in recovery mode: bus 001 device 011 \\(Jetson Orin Nano 8GB.*bus 002 device 012",
            ("7323",): "orin-nano was prepared, and attached is Jetson Orin NX 16GB \\(orin-nx\\)\n.*--board orin-nx",
            ("7026",): "orin-nano was prepared, and attached is Jetson Thor T5000",
            ("7226",): "Jetson Thor T4000, which nothing here can flash",
        }.items():
            with self.subTest(ids):
                w.usb(*ids)
                self.refused(why)
        # Beside a board in recovery mode those two do not matter.
        w.usb("7045", "7523", "7020")
        self.assertEqual(self.flash("--yes").returncode, 0)

    def test_every_module_is_known_by_its_id(self):
        lines = [line.split("\t") for line in (SCRIPTS / "modules.tsv").read_text().splitlines() if not line.startswith("#")]
        self.assertEqual({b for _, _, _, b in lines} - {"-"}, set(IDS))
        self.prepare("agx-orin", "7.2")
        for usb, _, name, board in lines:
            self.world.usb(usb)
            done = self.flash("--dry-run")
            if board == "agx-orin":
                self.assertIn(name, done.stdout)
            else:
                self.assertEqual(done.returncode, 3)

    def test_how_a_board_comes_into_recovery_mode_is_told(self):
        for board, jetpack, words in (("agx-orin", "6.2.2", "middle button"), ("agx-thor", "7.2", "force-recovery button")):
            self.prepare(board, jetpack)
            self.world.usb()
            self.refused(words)

    def test_the_machine_and_the_folder(self):
        w = self.world
        self.refused("nothing is prepared in @/work")
        self.prepare()
        whole = (w.work / "prepared").read_text()
        for damaged, why in ((whole.replace("board=", "boar="), "has no line board="), (whole.replace("=orin-nano", "=x"), "board=x is no board")):
            (w.work / "prepared").write_text(damaged)
            self.refused(f"@/work/prepared is damaged: .*{why}\n.*run prepare.sh", "--dry-run")
        (w.work / "prepared").write_text(whole)
        self.refused("needs root", "--yes", FAKE_UID=1000)
        self.refused("for x86-64 only", "--yes", FAKE_MACHINE="aarch64")
        self.refused("19 GB are free.*needs 20 GB", "--yes", FAKE_FREE=19_500_000_000)
        self.refused("this erases the board's storage\n.*--yes", "--label", "a")
        for words, why in ((["--label", "a/b"], "letters, digits"), (["--retries", "0"], "a number from 1"), (["--force"], "--force: unknown"),
                           (["--min-free-gb", "x"], "a number")):
            self.refused(why, *words, code=2)
        with open(w.work / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.refused("another run is at work")
        self.prepared(*w.arguments("--ab"))
        self.refused("19 GB are free.*needs 40 GB", "--yes", FAKE_FREE=19_500_000_000)
        w.file("work/Linux_for_Tegra/nv_tegra/bsp_version", "BSP_BRANCH=38\nBSP_MAJOR=4\nBSP_MINOR=0\n")
        self.refused("is 38.4.0, and orin-nano was prepared with 36.5.0")


if __name__ == "__main__":
    unittest.main()
