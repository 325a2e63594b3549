"""prepare.sh: what it makes, that it can be interrupted anywhere, and what it refuses."""

import pathlib
import re
import unittest

from world import HERE, World


class Case(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.remove)

    def prepared(self, *arguments, **environment):
        done = self.world.run("prepare.sh", *(arguments or self.world.arguments()), **environment)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done

    def refused(self, why, *arguments, code=1, **environment):
        done = self.world.run("prepare.sh", *(arguments or self.world.arguments()), **environment)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertRegex(self.world.text(done.stderr), why)
        return done

    def golden(self, name, output):
        path = pathlib.Path(HERE / "golden" / name)
        self.assertEqual(path.read_text(), self.world.text(output), f"compare with {path}")


class Makes(Case):
    def test_everything_that_was_asked_for(self):
        done = self.prepared(*self.world.everything())
        self.assertEqual([c.split()[0] for c in done.calls],
                         ["tar", "tar", "apply_binaries.sh", "unshare", "l4t_create_default_user.sh", "chown"])
        self.assertEqual(done.calls[2], "apply_binaries.sh")
        self.assertRegex(done.calls[3], r"^unshare --mount --pid --fork --kill-child \S+/into-rootfs.sh @/work/Linux_for_Tegra/rootfs "
                                        r"t234 @/egret.deb libnvinfer10 libnvonnxparsers10$")
        self.assertEqual(done.calls[4], "l4t_create_default_user.sh -u keeper -p PASSWORD -n cam-07 --accept-license")
        self.assertEqual(done.calls[5], "chown -R 1000:1000 @/work/Linux_for_Tegra/rootfs/home/keeper/.ssh")
        tree = self.world.tree()
        self.assertFalse([p for p in tree if p.startswith("unpack/")])
        root = {p.removeprefix("Linux_for_Tegra/rootfs/"): v for p, v in tree.items()}
        self.assertEqual(root["etc/egret/egret.toml"], (0o644, "[mqtt]\n"))
        self.assertEqual(root["etc/egret/mqtt.password"], (0o600, "secret\n"))
        self.assertEqual(root["etc/egret/power-mode"], (0o644, "MAXN_SUPER\n"))
        self.assertEqual(root["usr/local/lib/egret/power-mode.sh"][0], 0o755)
        self.assertEqual(root["etc/systemd/system/multi-user.target.wants/egret-power-mode.service"][1], "../egret-power-mode.service")
        self.assertIn("keeper:!:", root["etc/shadow"][1])
        self.assertEqual(root["home/keeper/.ssh/authorized_keys"][0], 0o600)
        self.assertEqual(root["etc/sudoers.d/90-egret"], (0o440, "keeper ALL=(ALL) NOPASSWD: ALL\n"))
        self.assertIn("PasswordAuthentication no", root["etc/ssh/sshd_config.d/10-egret.conf"][1])
        self.assertNotIn("etc/ssh/ssh_host_ed25519_key", root)
        self.assertEqual(root["etc/machine-id"][1], "")
        self.assertRegex(tree["prepared"][1], "board=orin-nano\nstorage=nvme\njetpack=6.2.2\nrelease=36.5.0\nab=0\n")

    def test_a_password_that_was_asked_for(self):
        w = self.world
        done = self.prepared(*w.arguments("--password-file", w.at / "password", "--sudo", "password", without=["--ssh-key", "--sudo"]))
        tree = w.tree()
        self.assertRegex(tree["Linux_for_Tegra/rootfs/etc/shadow"][1], r"keeper:\$6\$[^:]+\$[^:]{80,}:19000")
        self.assertEqual(tree["Linux_for_Tegra/rootfs/etc/sudoers.d/90-egret"][1], "keeper ALL=(ALL) ALL\n")
        self.assertNotIn("PasswordAuthentication", tree["Linux_for_Tegra/rootfs/etc/ssh/sshd_config.d/10-egret.conf"][1])
        self.assertNotIn("correct horse", done.stdout + done.stderr + "".join(done.calls) + str(tree))

    def test_a_provisioning_set_as_the_yocto_image_takes_it(self):
        w = self.world
        arguments = w.arguments("--provision", w.provision(), without=["--ssh-key"])
        done = self.prepared(*arguments)
        root = {p.removeprefix("Linux_for_Tegra/rootfs/"): v for p, v in w.tree().items()}
        self.assertEqual(root["etc/egret/egret.toml"], (0o644, "[mqtt]\n"))
        self.assertEqual(root["etc/egret/conf.d/90-device.toml"], (0o644, 'device = "gate-north"\n'))
        self.assertEqual(root["etc/egret/credentials/mqtt"], (0o600, "secret\n"))
        self.assertEqual(root["etc/egret/credentials"][0], 0o700)
        self.assertEqual(root["etc/egret/certificates/ca.pem"], (0o644, "CA\n"))
        self.assertIn("AAAAone a\nssh-rsa AAAAtwo", root["home/keeper/.ssh/authorized_keys"][1])
        self.assertIn("chown -R 991:990 @/work/Linux_for_Tegra/rootfs/etc/egret/credentials", done.calls)
        self.assertEqual(self.prepared(*arguments).calls, [])
        # Another name is a setting like others; no name is another set of files.
        w.provision(provision="format=1\ndevice=gate-south\n")
        self.assertNotIn("apply_binaries.sh", self.prepared(*arguments).calls)
        self.assertEqual(w.tree()["Linux_for_Tegra/rootfs/etc/egret/conf.d/90-device.toml"][1], 'device = "gate-south"\n')
        w.provision(provision="format=1\n")
        self.prepared(*arguments)
        self.assertNotIn("Linux_for_Tegra/rootfs/etc/egret/conf.d/90-device.toml", w.tree())

    def test_thor_takes_the_open_driver(self):
        done = self.prepared(*self.world.arguments(board="agx-thor", jetpack="7.2"))
        self.assertIn("apply_binaries.sh --openrm", done.calls)
        self.assertTrue(any(" som " in c for c in done.calls))

    def test_a_second_run_changes_nothing(self):
        self.prepared(*self.world.everything())
        before = self.world.tree(stamps=True)
        done = self.prepared(*self.world.everything())
        self.assertEqual(done.calls, [])
        self.assertEqual(before, self.world.tree(stamps=True))

    def test_other_contents_of_settings_are_written_and_nothing_else(self):
        self.prepared(*self.world.everything())
        self.world.file("egret.toml", "[mqtt]\nhost = 1\n")
        done = self.prepared(*self.world.everything())
        self.assertEqual(done.calls, [])
        self.assertEqual(self.world.tree()["Linux_for_Tegra/rootfs/etc/egret/egret.toml"][1], "[mqtt]\nhost = 1\n")

    def test_a_setting_less_leaves_nothing_behind(self):
        w = self.world
        self.prepared(*w.everything())
        self.prepared(*w.arguments())
        self.assertFalse([p for p in w.tree() if "egret/egret.toml" in p or "power-mode" in p])

    def test_another_host_name_makes_the_root_file_system_anew(self):
        w = self.world
        self.prepared(*w.everything())
        done = self.prepared(*w.arguments("--hostname", "cam-08", without=["--hostname"]))
        self.assertEqual([c.split()[0] for c in done.calls], ["tar", "apply_binaries.sh", "unshare", "l4t_create_default_user.sh", "chown"])
        self.assertEqual(w.tree()["Linux_for_Tegra/rootfs/etc/hostname"][1], "cam-08\n")

    def test_another_board_of_the_same_release_keeps_the_root_file_system(self):
        self.prepared(*self.world.arguments())
        done = self.prepared(*self.world.arguments("--ab", board="orin-nx"))
        self.assertEqual(done.calls, [])
        self.assertIn("board=orin-nx\nstorage=nvme\njetpack=6.2.2\nrelease=36.5.0\nab=1\n", self.world.tree()["prepared"][1])

    def test_another_release_replaces_all(self):
        self.prepared(*self.world.arguments())
        self.prepared(*self.world.arguments(jetpack="7.2"))
        self.assertIn("BSP_BRANCH=39", self.world.tree()["Linux_for_Tegra/nv_tegra/bsp_version"][1])
        self.prepared(*self.world.arguments())
        self.assertIn("BSP_BRANCH=36", self.world.tree()["Linux_for_Tegra/nv_tegra/bsp_version"][1])


class Interrupted(Case):
    def test_killed_anywhere_it_ends_as_if_it_had_not_been(self):
        w = self.world
        self.prepared(*w.everything())
        whole = w.tree()
        for point in range(1, 200):
            w.run("/bin/rm", "-rf", w.work)
            done = w.run("prepare.sh", *w.everything(), kill_at=point)
            if not done.killed:
                self.assertEqual(done.returncode, 0, done.stderr)
                break
            if (w.work / "prepared").exists():
                self.assertEqual(whole, w.tree(), f"said to be prepared at point {point}")
            again = self.prepared(*w.everything())
            self.assertEqual(whole, w.tree(), f"killed at point {point}: {again.stdout}")
        self.assertGreater(point, 20)
        self.assertFalse(done.killed)

    def test_what_was_prepared_for_another_is_not_left_for_flashing(self):
        w = self.world
        other = w.arguments("--hostname", "cam-08", without=["--hostname"])
        self.prepared(*w.everything())
        whole = w.tree()
        for point in (3, 9, 14):
            killed = w.run("prepare.sh", *other, kill_at=point)
            self.assertTrue(killed.killed)
            self.assertFalse((w.work / "prepared").exists())
            self.prepared(*w.everything())
            self.assertEqual(whole, w.tree(), f"killed at point {point} on the way to another and back")


class DryRun(Case):
    def test_it_prints_what_it_would_do_and_does_nothing(self):
        w = self.world
        for name, arguments in {"prepare-orin-nano.txt": w.everything(),
                                "prepare-agx-thor.txt": w.arguments("--ab", board="agx-thor", jetpack="7.2")}.items():
            done = w.run("prepare.sh", *arguments, "--dry-run")
            self.assertEqual((done.returncode, done.calls), (0, []), done.stderr)
            self.assertFalse(w.work.exists())
            self.golden(name, re.sub(r"[0-9a-f]{64}", "SHA256", done.stdout))

    def test_it_says_what_would_be_refused_and_goes_on(self):
        w = self.world
        done = w.run("prepare.sh", *w.arguments(without=["--sha256 rootfs"]), "--dry-run", FAKE_UID=1000, FAKE_FREE=1000)
        self.assertEqual(done.returncode, 3)
        for why in ("this needs root", "0 GB are free"):
            self.assertIn(f"! would stop here: {why}", done.stdout)
        self.assertIn("no SHA-256 is known for the rootfs", done.stderr)
        self.assertIn("apply_binaries.sh", done.stdout)

    def test_what_is_done_already_is_not_in_it(self):
        self.prepared(*self.world.arguments())
        before = self.world.tree(stamps=True)
        done = self.world.run("prepare.sh", *self.world.arguments("--hostname", "cam-08", without=["--hostname"]), "--dry-run")
        self.assertEqual(done.returncode, 0)
        self.assertIn("BSP: done", done.stdout)
        self.assertEqual(before, self.world.tree(stamps=True))
