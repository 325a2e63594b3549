"""egret-provision against folders that mean well, mean harm, or are cut off."""

import shutil
import stat
import subprocess
import unittest

from fake_device import LAYER, FakeDevice

SIGNED_AS = 'egret-provision namespaces="egret-provision" '


class Provisioning(FakeDevice):
    program = LAYER / "recipes-egret/egret-provision/files/egret-provision"

    def setUp(self):
        super().setUp()
        self.write("usr/share/egret/egret.toml", "# sample\n")
        self.write("proc/device-tree/serial-number", "1423021000\0")
        # A real sync would wait for whatever else this machine writes.
        for name in ("chown", "systemctl", "sync"):
            self.fake(name)
        # `egret check --config FILE`: refuses what says so.
        self.fake("egret", 'if grep -q REFUSED "$3"; then echo "mqtt.url: not an address"; exit 78; fi')
        self.stick = self.root / "stick"

    def key(self, name="key"):
        path = self.root / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True, stdin=subprocess.DEVNULL)
        return path

    def public(self, key):
        return key.with_suffix(".pub").read_text()

    def folder(self, serial=1, key=None, **files):
        """A folder as an operator makes it; `credentials__mqtt` is credentials/mqtt. With a key it is signed, else only listed."""
        shutil.rmtree(self.stick, ignore_errors=True)
        content = {"provision": f"format=1\nserial={serial}\ndevice=gate-{serial}\n", "egret_toml": f"# site {serial}\n", **files}
        for name, text in content.items():
            if text is not None:
                self.write("stick/" + name.replace("__", "/").replace("egret_toml", "egret.toml"), text)
        if key:
            self.run_program("sign", key, self.stick)
        else:
            names = sorted(str(p.relative_to(self.stick)) for p in self.stick.rglob("*") if p.is_file())
            listed = subprocess.run(["sha256sum", *names], cwd=self.stick, check=True, capture_output=True, text=True).stdout
            (self.stick / "SHA256SUMS").write_text(listed)
        return self.stick

    def provisioned(self, serial=1):
        self.run_program("factory")
        key = self.key()
        self.run_program("from", self.folder(serial, allowed_signers=SIGNED_AS + self.public(key)))
        return key

    def in_force(self):
        return self.read("data/config/current/egret.toml")

    def test_first_boot_has_a_name_and_a_configuration(self):
        self.run_program("factory")
        self.assertEqual(self.in_force(), "# sample\n")
        self.assertIn('device = "egret-1423021000"', self.read("data/config/current/conf.d/90-device.toml"))
        self.run_program("factory")
        self.assertEqual(len(list((self.root / "data/config/releases").iterdir())), 1)

    def test_first_stick_is_taken_unsigned_and_says_who_signs_the_next(self):
        key = self.provisioned()
        self.assertEqual(self.in_force(), "# site 1\n")
        self.assertIn('device = "gate-1"', self.read("data/config/current/conf.d/90-device.toml"))
        self.assertIn("it is not signed", self.run_program("from", self.folder(2), ok=False))
        other = self.key("other")
        self.assertIn("the signature does not hold", self.run_program("from", self.folder(2, other), ok=False))
        self.assertEqual(self.in_force(), "# site 1\n")
        self.run_program("from", self.folder(2, key))
        self.assertEqual(self.in_force(), "# site 2\n")

    def test_keys_of_the_image_win(self):
        key = self.key()
        self.write("usr/share/egret/provision/allowed_signers", SIGNED_AS + self.public(key))
        self.run_program("factory")
        self.assertIn("it is not signed", self.run_program("from", self.folder(1), ok=False))
        self.run_program("from", self.folder(1, key))
        # What the folder itself allows is not asked.
        other = self.key("other")
        self.run_program("from", self.folder(2, key, allowed_signers=SIGNED_AS + self.public(other)))
        self.assertIn("does not hold", self.run_program("from", self.folder(3, other), ok=False))

    def test_a_key_for_another_purpose_or_out_of_date_does_not_count(self):
        key = self.key()
        # A key that is not valid yet: so does every key with a `valid-after` look to a device whose clock was never set.
        for line in ('egret-provision namespaces="git" ', 'egret-provision valid-before="20200101" ',
                     'egret-provision valid-after="20600101" ', "somebody-else "):
            self.write("usr/share/egret/provision/allowed_signers", line + self.public(key))
            self.run_program("factory")
            self.assertIn("the signature does not hold", self.run_program("from", self.folder(1, key), ok=False), line)

    def test_without_a_key_nothing_comes_after_the_first_time(self):
        self.run_program("factory")
        self.run_program("from", self.folder(1))
        self.assertIn("no key is known", self.run_program("from", self.folder(2), ok=False))
        self.run_program("reset")
        self.assertEqual(self.in_force(), "# sample\n")
        self.run_program("from", self.folder(1))

    def test_what_was_changed_after_signing_is_refused(self):
        key = self.provisioned()
        for name, text in (("egret.toml", "# other\n"), ("provision", "format=1\nserial=9\n"), ("SHA256SUMS", None)):
            folder = self.folder(2, key)
            path = folder / name
            path.write_text(text if text is not None else path.read_text().replace("0", "1"))
            self.run_program("from", folder, ok=False)
            self.assertEqual(self.in_force(), "# site 1\n")
        self.assertIn("refused:", self.read("data/config/last"))

    def test_an_old_set_does_not_come_back(self):
        key = self.provisioned(5)
        for serial in (4, 5):
            folder = self.folder(serial, key, credentials__x="y")
            self.assertIn("is not above 5", self.run_program("from", folder, ok=False))

    def test_the_same_set_twice_changes_nothing(self):
        key = self.provisioned()
        self.run_program("from", self.folder(2, key))
        before = len(self.calls("systemctl"))
        self.assertIn("already in force", self.run_program("from", self.stick))
        self.assertEqual(len(self.calls("systemctl")), before)

    def test_a_configuration_that_the_daemon_refuses_stays_out(self):
        key = self.provisioned()
        said = self.run_program("from", self.folder(2, key, egret_toml="# REFUSED\n"), ok=False)
        self.assertIn("mqtt.url: not an address", said)
        self.assertEqual(self.in_force(), "# site 1\n")
        self.assertIn("mqtt.url", self.read("data/config/last"))

    def test_secrets_are_the_daemons_alone(self):
        self.run_program("factory")
        self.run_program("from", self.folder(1, credentials__mqtt="hunter2\n", authorized_keys="ssh-ed25519 AAAA me\n"))
        current = (self.root / "data/config/current").resolve()
        mode = lambda name: stat.S_IMODE((current / name).stat().st_mode)
        self.assertEqual([mode(n) for n in ("credentials", "credentials/mqtt", "egret.toml", ".")], [0o700, 0o600, 0o640, 0o750])
        self.assertEqual((current / "authorized_keys/root").read_text(), "ssh-ed25519 AAAA me\n")
        owners = self.calls("chown")
        self.assertTrue(any(" egret:egret " in c and c.endswith("/credentials") for c in owners), owners)
        self.assertTrue(any(" root:root " in c and c.endswith("/authorized_keys") for c in owners), owners)
        everything = subprocess.run(["grep", "-rl", "hunter2", self.root / "data"], capture_output=True, text=True, check=False).stdout
        self.assertEqual(len(everything.split()), 1, everything)

    def test_input_is_bounded_and_stays_in_its_folder(self):
        self.run_program("factory")
        self.assertIn("larger than", self.run_program("from", self.folder(1, credentials__big="x" * 300_000), ok=False))
        many = {f"credentials__c{n}": "x" for n in range(70)}
        self.assertIn("more than 64 files", self.run_program("from", self.folder(1, **many), ok=False))
        digest = "0" * 64
        for name in ("../../etc/passwd", "credentials/../x", "credentials/.x", "conf.d/x", "/etc/passwd", "credentials/a/b", "a b", "$(reboot)"):
            folder = self.folder(1)
            with (folder / "SHA256SUMS").open("a") as listed:
                listed.write(f"{digest}  {name}\n")
            self.run_program("from", folder, ok=False)
        folder = self.folder(1)
        (folder / "SHA256SUMS").write_text("x" * 20_000)
        self.assertIn("larger than", self.run_program("from", folder, ok=False))
        (folder / "SHA256SUMS").write_text((digest + "  provision"))
        self.assertIn("newline", self.run_program("from", folder, ok=False))
        self.assertEqual(self.in_force(), "# sample\n")
        self.assertFalse((self.root / "data/config/staging").exists())

    def test_links_are_not_followed(self):
        self.run_program("factory")
        secret = self.write("secret", "mine\n")
        for name in ("egret.toml", "credentials/mqtt"):
            folder = self.folder(1, credentials__mqtt="mine\n", egret_toml="mine\n")
            (folder / name).unlink()
            (folder / name).symlink_to(secret)
            self.assertIn("no regular file", self.run_program("from", folder, ok=False))
        folder = self.folder(1, credentials__mqtt="mine\n")
        (folder / "credentials").rename(self.root / "elsewhere")
        (folder / "credentials").symlink_to(self.root / "elsewhere")
        self.assertIn("is a link", self.run_program("from", folder, ok=False))

    def test_what_is_for_another_device_or_not_understood_is_refused(self):
        self.run_program("factory")
        for text, reason in (
            ("format=2\nserial=1\n", "format=1"),
            ("format=1\n", "serial="),
            ("format=1\nserial=01\n", "serial="),
            ("format=1\nserial=1x\n", "serial="),
            ("format=1\nserial=9999999999\n", "serial="),
            ("format=1\nserial=1\nhardware=other\n", "hardware=other"),
            ('format=1\nserial=1\ndevice=a"b\n', "device="),
            (f"format=1\nserial=1\ndevice={'x' * 65}\n", "device="),
        ):
            self.assertIn(reason, self.run_program("from", self.folder(1, provision=text), ok=False))
        self.assertIn("not in SHA256SUMS", self.run_program("from", self.folder(1, egret_toml=None), ok=False))
        self.run_program("from", self.folder(1, provision="format=1\nserial=1\nhardware=1423021000\n"))
        # One set for a fleet: without a name in it, each device has its own.
        self.assertIn('device = "egret-1423021000"', self.read("data/config/current/conf.d/90-device.toml"))

    def test_a_stick_is_mounted_read_only_and_let_go(self):
        self.run_program("factory")
        self.folder(1)
        self.fake("mount", f'for place; do :; done; mkdir -p "$place/egret"; cp -R "{self.stick}/." "$place/egret"')
        self.fake("umount")
        self.run_program("device", "sda1")
        self.assertEqual(self.in_force(), "# site 1\n")
        place = self.root / "run/egret-provision"
        self.assertEqual(self.calls("mount"), [f"mount -t vfat -o ro,nosuid,nodev,noexec /dev/sda1 {place}"])
        self.folder(2)
        self.run_program("device", "sda1", ok=False)
        self.assertEqual(len(self.calls("umount")), 2)
        self.assertIn("no name", self.run_program("device", "../sda", ok=False))

    def test_a_cut_at_any_moment_leaves_the_old_or_the_new(self):
        """Every command that changes the disk is, one after the other, the last one that is carried out."""
        key = self.provisioned()
        folder = self.folder(2, key, credentials__mqtt="hunter2\n")
        saved = self.root / "saved"
        shutil.copytree(self.root / "data", saved, symlinks=True)
        self.count("mv", "ln", "rm", "mkdir", "cp", "sync", "chmod", "head")
        cut, done, states = 0, False, set()
        while not done:
            cut += 1
            shutil.rmtree(self.root / "data")
            shutil.copytree(saved, self.root / "data", symlinks=True)
            self.write("count", "0\n")
            done = self.run_until(cut, "from", folder)
            found = self.in_force()
            states.add(found)
            self.assertIn(found, ("# site 1\n", "# site 2\n"), f"cut {cut}")
            whole = self.read("data/config/current/credentials/mqtt")
            self.assertEqual(whole, "hunter2\n" if found == "# site 2\n" else None, f"cut {cut}")
            # The power comes back: the boot finds a configuration, the stick is still there.
            self.run_program("factory", CUT="0")
            self.assertEqual(self.in_force(), found)
            self.run_program("from", folder, CUT="0")
            self.assertEqual(self.in_force(), "# site 2\n")
            self.assertFalse((self.root / "data/config/staging").exists())
        self.assertGreater(cut, 15)
        self.assertEqual(states, {"# site 1\n", "# site 2\n"})

    def test_a_data_partition_that_takes_nothing(self):
        self.run_program("factory")
        key = self.key()
        folder = self.folder(1, key, credentials__mqtt="hunter2\n", allowed_signers=SIGNED_AS + self.public(key))
        for state in ("full", "read-only"):
            status, said, after = self.run_on_disk(state, "from", folder)
            self.assertNotEqual(status, 0)
            self.assertIn("the data partition takes nothing", said)
            self.assertEqual((after / "config/current/egret.toml").read_text(), "# sample\n")
            # At the next boot the same configuration is there, and nothing is asked of the disk.
            status, said, _ = self.run_on_disk(state, "factory")
            self.assertEqual((status, said), (0, ""))
        self.run_program("from", folder)
        self.assertEqual(self.in_force(), "# site 1\n")

    def test_usage(self):
        self.assertIn("egret-provision factory", self.run_program(ok=False))
        self.assertIn("no folder", self.run_program("from", "/nowhere", ok=False))
        self.assertIn("SHA256SUMS is missing", self.run_program("from", self.root / "run", ok=False))


if __name__ == "__main__":
    unittest.main()
