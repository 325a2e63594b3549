"""prepare.sh: every refusal, with what it says."""

import fcntl
import unittest

from test_prepare import Case
from world import LAYOUTS, bsp_archive, sha256

MOUNT = "23 22 8:1 / {}/work/Linux_for_Tegra/rootfs/dev rw - devtmpfs udev rw\n"


class Arguments(Case):
    def test_each_is_checked_before_anything_is_done(self):
        w = self.world
        replaced = {
            ("--hostname", "Cam_07"): "--hostname Cam_07: lower-case",
            ("--user", "root"): "--user root: name a user of your own",
            ("--user", "egret"): "--user egret: name a user of your own",
            ("--user", "-x"): "--user -x: not a name",
            ("--sudo", "always"): "--sudo always: none, nopassword or password",
            ("--sudo", "password"): "that user has no password",
            ("--jetpack", "6.0"): "--jetpack 6.0: 6.2.2 and 7.2 are known",
            ("--board", "nano"): "--board nano: known are agx-orin agx-thor orin-nano orin-nx",
        }
        for (option, value), why in replaced.items():
            with self.subTest(why):
                self.refused(why, *w.arguments(option, value, without=[option]), code=2)
        added = {
            ("--power-mode", "2"): "by name",
            ("--power-mode", "15 W"): "letters, digits and _ only",
            ("--packages", "a;b"): "names of packages",
            ("--min-free-gb", "few"): "a number",
            ("--sha256", "kernel=" + "0" * 64): "KIND is bsp, rootfs or deb",
            ("--sha256", "deb=123"): "has 64 digits",
            ("--sha256", "deb=" + "A" * 64): "has 64 digits",
            ("--password", "x"): "--password: unknown option",
            ("--ab=1",): "--ab=1: unknown, or its value is missing",
        }
        for words, why in added.items():
            with self.subTest(why):
                self.refused(why, *w.arguments(*words), code=2)
        for name in ("--work", "--board", "--jetpack", "--bsp", "--rootfs", "--deb", "--hostname", "--user", "--sudo"):
            with self.subTest(name):
                self.refused(f"{name} is missing", *w.arguments(without=[name]), code=2)
        self.refused("nobody could log in.*no default password", *w.arguments(without=["--ssh-key"]), code=2)
        self.refused("under NVIDIA's licence", *w.arguments(without=["--accept-nvidia-license"]), code=2)
        self.assertFalse(w.work.exists())

    def test_help(self):
        done = self.world.run("prepare.sh", "--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("--accept-nvidia-license", done.stdout)
        self.assertNotIn("set -euo", done.stdout)


class Machine(Case):
    def test_what_it_runs_on(self):
        w = self.world
        self.refused("needs root", FAKE_UID=1000)
        self.refused("programs for x86-64 only, and this machine is aarch64", FAKE_MACHINE="aarch64")
        self.refused("39 GB are free in @, and this needs 40 GB", FAKE_FREE=39_999_999_999)
        self.refused("7 GB are free in @, and this needs 9 GB", *w.arguments("--min-free-gb", 9), FAKE_FREE=7_000_000_000)
        self.refused("mounted with rw,nosuid,relatime", FAKE_OPTIONS="rw,nosuid,relatime")
        self.refused("fail in folders with blanks", *w.arguments("--work", w.at / "a b", without=["--work"]))
        (w.at / "root/proc/sys/fs/binfmt_misc/qemu-aarch64").unlink()
        self.refused("arm64\\) cannot run here.*\n.*qemu-user-static")
        self.assertFalse(w.work.exists())

    def test_missing_programs_are_named(self):
        self.world.program("unshare", "")
        (self.world.at / "bin/chroot").unlink()
        done = self.world.run("prepare.sh", *self.world.arguments(), PATH=f"{self.world.at}/bin:{self.without('openssl')}")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "these programs are missing: chroot openssl")

    def without(self, *names):
        """A folder with the machine's programs but these (chroot is in /usr/sbin)."""
        folder = self.world.at / "usr-bin"
        folder.mkdir()
        for name in ("bash", "env", "dirname", "basename", "realpath", "awk", "grep", "cut", "sort", "tar", "bzip2", "sha256sum", "flock",
                     "paste", "sed", "cat", "mkdir", "tail"):
            if name not in names:
                (folder / name).symlink_to(f"/usr/bin/{name}")
        return folder

    def test_one_run_at_a_time(self):
        self.world.work.mkdir()
        with open(self.world.work / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.refused("another run is at work in @/work")

    def test_nothing_is_removed_in_which_something_is_mounted(self):
        w = self.world
        self.prepared()
        mounts = w.file("root/proc/self/mountinfo", MOUNT.format(w.at))
        other = w.arguments("--hostname", "cam-08", without=["--hostname"])
        self.refused("mounted in it are @/work/Linux_for_Tegra/rootfs/dev\n.*umount", *other)
        self.assertTrue((w.work / "Linux_for_Tegra/rootfs/etc/passwd").exists())
        mounts.write_text("")
        self.prepared(*other)


class Files(Case):
    def test_digests(self):
        w = self.world
        self.refused("no SHA-256 is known for the rootfs file.*\n.*release_sha_hashes.txt\n.*--sha256 rootfs=",
                     *w.arguments(without=["--sha256 rootfs"]))
        self.refused("no SHA-256 is given for the package @/egret.deb", *w.arguments(without=["--sha256 deb"]))
        # Of the BSP one is known, and this is not that file.
        self.refused("is not the bsp that was asked for: its SHA-256 is [0-9a-f]{64}, expected 414e58d97ac4",
                     *w.arguments(without=["--sha256 bsp"]))
        self.assertFalse((w.work / "Linux_for_Tegra").exists())
        for kind, name in {"rootfs": "rootfs.tbz2", "deb": "egret.deb"}.items():
            path = w.at / name
            arguments, whole = w.arguments(), path.read_bytes()
            path.write_bytes(whole + b"x")
            self.refused(f"is not the {kind} that was asked for", *arguments)
            path.write_bytes(whole)
        self.prepared()

    def test_what_is_not_there_or_not_what_it_should_be(self):
        w = self.world
        self.refused("--bsp @/none: no such file\n.*https://developer.nvidia.com", *w.arguments("--bsp", w.at / "none", without=["--bsp"]))
        self.refused("--ssh-key @/none: cannot be read", *w.arguments("--ssh-key", w.at / "none"))
        private = w.file("key", "-----BEGIN OPENSSH PRIVATE KEY-----\n")
        self.refused("is not a public SSH key", *w.arguments("--ssh-key", private))
        self.refused("its first line is empty", *w.arguments("--password-file", w.file("empty", "\n")))
        self.refused("'egret amd64', not egret for arm64", FAKE_ARCHITECTURE="amd64")
        self.refused("'egret-demo arm64', not egret", FAKE_PACKAGE="egret-demo")
        self.refused("--deb @/.* is no Debian package\n.*arm64.deb", FAKE_PACKAGE="none")
        self.refused("no such folder", *w.arguments("--credentials", w.at / "none"))
        w.file("credentials/deeper/x", "")
        self.refused("plain files only.*: @/credentials/deeper is none", *w.arguments("--credentials", w.at / "credentials"))
        w.file("other/egret.toml", "")
        self.refused("holds an egret.toml", *w.arguments("--credentials", w.at / "other"))
        w.program("egret", 'called egret "$@"; echo "error: egret.toml: mqtt.host is missing"; exit 78')
        done = self.refused("mqtt.host is missing\n.*is refused", *w.arguments("--egret-config", w.at / "egret.toml"))
        self.assertEqual(done.calls, ["egret check --config @/egret.toml"])
        done = self.prepared(*w.arguments("--egret-config", w.at / "egret.toml", "--config-unchecked"))
        self.assertRegex(w.text(done.stderr), "mqtt.host is missing\n.*@/egret.toml is taken all the same")

    def test_provisioning_sets(self):
        w = self.world

        def refused(why, code=1, **files):
            self.refused(why, *w.arguments("--provision", w.provision(**files)), code=code)

        refused("format=1", provision="format=2\n")
        refused("device= takes", provision="format=1\ndevice=a/b\n")
        refused("it is for one device", provision="format=1\nhardware=123\n")
        refused("SHA256SUMS lists what does not belong there", other="x")
        w.provision()
        (w.at / "set/egret.toml").write_text("changed")
        self.refused("a file is not what SHA256SUMS says", *w.arguments("--provision", w.at / "set"))
        refused("egret.toml is not in SHA256SUMS", **{"egret.toml": None})
        (w.at / "set/link").symlink_to("/etc/passwd")
        refused("there are links in it")
        (w.at / "set/link").unlink()
        self.refused("leave the others out", *w.arguments("--provision", w.provision(), "--egret-config", w.at / "egret.toml"), code=2)
        w.program("unshare", "true")
        self.refused("the package made no user egret", *w.arguments("--provision", w.at / "set"))
        (w.at / "set/SHA256SUMS").unlink()
        self.refused("SHA256SUMS is missing", *w.arguments("--provision", w.at / "set"))

    def test_the_bsp_fits_the_board(self):
        w = self.world
        self.refused("Jetson Linux 36.5.0 does not fit agx-thor.*\n.*39.2.0 on nvme", *w.arguments(board="agx-thor"))
        self.refused("does not fit orin-nx with storage emmc", *w.arguments("--storage", "emmc", board="orin-nx"))
        wrong = w.at / "bsp-39.2.0.tbz2"
        self.refused("is Jetson Linux 39.2.0, and JetPack 6.2.2 is Jetson Linux 36.5.0",
                     *w.arguments("--bsp", wrong, "--sha256", f"bsp={sha256(wrong)}", without=["--bsp", "--sha256 bsp"]))
        self.refused("has no other-carrier.conf", *w.arguments("--config", "other-carrier"))
        self.prepared(*w.arguments("--config", "carrier-of-mine"))
        for name in (LAYOUTS[1], "tools/l4t_create_default_user.sh"):
            bsp_archive(w.at / "bsp-36.5.0.tbz2", "36.5.0", without=[name])
            self.refused(f"has no {name}", *w.arguments("--ab"))

    def test_a_user_that_the_root_file_system_has_already(self):
        w = self.world
        self.refused("--user operator: the root file system has a user or group of that name", *w.arguments("--user", "operator", without=["--user"]))
        self.assertNotIn("BSP: unpacking", self.prepared().stdout)

    def test_what_nvidias_scripts_refuse(self):
        w = self.world
        bsp_archive(w.at / "bsp-36.5.0.tbz2", "36.5.0")
        w.program("unshare", 'called unshare; echo "E: unmet dependencies"; exit 100')
        done = w.run("prepare.sh", *w.arguments())
        self.assertEqual(done.returncode, 100)
        self.assertIn("unmet dependencies", done.stdout)
        self.assertFalse((w.work / "prepared").exists())
        w.program("unshare", "true")
        self.assertIn("was interrupted, made anew", self.prepared().stdout)


if __name__ == "__main__":
    unittest.main()
