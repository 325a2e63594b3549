"""The layer against the rest of the repository: what a recipe names exists, and what is said twice is said alike."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

from fake_device import LAYER, SHELL

TOP = LAYER.parent.parent
EGRET = LAYER / "recipes-egret/egret/egret_0.1.0.bb"
RECIPES = sorted(LAYER.rglob("*.bb")) + sorted(LAYER.rglob("*.bbappend"))
UNITS = sorted(p for kind in ("service", "mount") for p in LAYER.rglob(f"*.{kind}"))


def value(text, name):
    """The value of `name = "…"` in a recipe, continued lines joined."""
    found = re.search(rf'^{re.escape(name)} [?+:.]*= "((?:[^"\\]|\\\n)*)"', text, re.M)
    return re.sub(r"\\\n", " ", found.group(1)).strip() if found else None


def systemd_keys(path, key):
    return [line.split("=", 1)[1] for line in path.read_text().splitlines() if line.startswith(key + "=")]


class Recipe(unittest.TestCase):
    """egret's own recipe."""

    text = EGRET.read_text()

    def test_crates_are_those_of_cargo_lock(self):
        subprocess.run([TOP / "scripts/yocto-crates.py", "--check"], check=True)

    def test_a_crate_that_changes_is_seen(self):
        listed = (LAYER / "recipes-egret/egret/egret-crates.inc").read_text()
        lock = tomllib.loads((TOP / "Cargo.lock").read_text())["package"]
        registry = [p for p in lock if "source" in p]
        self.assertEqual(listed.count("crate://"), len(registry))
        for package in registry:
            self.assertIn(f'SRC_URI[{package["name"]}-{package["version"]}.sha256sum] = "{package["checksum"]}"', listed)

    def test_versions_agree(self):
        workspace = tomllib.loads((TOP / "Cargo.toml").read_text())["workspace"]["package"]
        self.assertEqual(EGRET.stem.split("_")[1], workspace["version"])
        distribution = (LAYER / "conf/distro/egret-appliance.conf").read_text()
        self.assertEqual(value(distribution, "DISTRO_VERSION"), workspace["version"])
        # What wrynose has is 1.94.1.
        self.assertEqual(workspace["rust-version"], "1.94")

    def test_features_exist(self):
        features = tomllib.loads((TOP / "daemon/Cargo.toml").read_text())["features"]
        named = re.findall(r"--features (\w+)", self.text)
        self.assertEqual(sorted(named), ["demo", "tensorrt"])
        for name in named:
            self.assertIn(name, features)

    def test_the_licence_is_the_file_s_and_the_crates_(self):
        import hashlib

        md5 = hashlib.md5((TOP / "LICENSE").read_bytes()).hexdigest()
        self.assertIn(f"file://LICENSE;md5={md5}", self.text)
        self.assertEqual((LAYER / "COPYING").read_bytes(), (TOP / "LICENSE").read_bytes())
        if shutil.which("cargo"):
            told = subprocess.run([TOP / "scripts/yocto-crates.py", "--licences"], check=True, capture_output=True, text=True)
            self.assertEqual(value(self.text, "LICENSE"), told.stdout.strip())

    def test_every_file_that_is_installed_exists(self):
        loops = {"$unit": value(self.text, "EGRET_UNITS").split(), "$drop_in": value(self.text, "EGRET_DROP_INS").split()}
        seen = 0
        for name in re.findall(r"\$\{S\}/(\S+)", self.text):
            variable = next((v for v in loops if v in name), None)
            for one in loops.get(variable, [""]):
                path = name.replace(variable, one) if variable else name
                self.assertTrue(list(TOP.glob(path)), f"{path} does not exist")
                seen += 1
        self.assertGreater(seen, 10)
        # And the other way round: a unit that is new has to be installed, or left out on purpose.
        self.assertEqual(set(loops["$unit"]), {p.name for p in (TOP / "systemd").glob("*.service")})
        left_out = {"device-policy-jetpack6.conf"}
        self.assertEqual(set(loops["$drop_in"]) | left_out, {p.name for p in (TOP / "systemd/drop-ins").glob("*.conf")})

    def test_the_manual_s_files_are_those_of_the_debian_package(self):
        """Which a real build has shown to be written; this recipe's have not been built."""
        packaged = "".join((TOP / "systemd/debian" / name).read_text() for name in ("egret.install", "egret.manpages"))
        wanted = set(re.findall(r"manual/egret/(\S+)", packaged))
        named = set(re.findall(r"\$\{B\}/manual/(\S+)", self.text))
        self.assertEqual({re.sub(r"\*\.[15]$", "*", name) for name in named}, wanted)

    def test_users_match_the_units(self):
        user = value(self.text, "USERADD_PARAM:${PN}")
        groups = value(self.text, "GROUPADD_PARAM:${PN}")
        self.assertTrue(user.endswith(" egret"))
        # The same on every image ever built: files on the data partition belong to numbers.
        self.assertIn("--uid 790 --gid egret", user)
        self.assertIn("--gid 790 egret", groups)
        supplementary = re.search(r"--groups (\S+)", user).group(1).split(",")
        for unit in value(self.text, "EGRET_UNITS").split():
            path = TOP / "systemd" / unit
            self.assertEqual(systemd_keys(path, "User"), ["egret"], unit)
            self.assertEqual(systemd_keys(path, "Group"), ["egret"], unit)
            for line in systemd_keys(path, "SupplementaryGroups"):
                self.assertLessEqual(set(line.split()), set(supplementary), unit)
            self.assertEqual(systemd_keys(path, "StateDirectory"), ["egret"] if "@" not in unit else systemd_keys(path, "StateDirectory"))
        declared = [line.split() for line in (TOP / "systemd/sysusers.d/egret.conf").read_text().splitlines() if line[:2] in ("u ", "g ", "m ")]
        self.assertEqual({d[1] for d in declared if d[0] == "u"}, {"egret"})
        self.assertEqual({d[2] for d in declared if d[0] == "m"}, set(supplementary))
        self.assertIn(value(self.text, "SYSTEMD_SERVICE:${PN}"), value(self.text, "EGRET_UNITS"))


class Layer(unittest.TestCase):
    def test_every_file_of_a_recipe_exists_and_is_used(self):
        for recipe in RECIPES:
            text = recipe.read_text()
            named = set(re.findall(r"file://([^\s;\"\\]+)", text)) - {"LICENSE"}
            named = {n for n in named if not n.startswith("${COMMON_LICENSE_DIR}")}
            folder = recipe.parent / "files"
            present = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
            self.assertEqual(named, present, recipe)
            if recipe.suffix == ".bb":
                for name in present - {"sw-description", "egret-switch"}:
                    self.assertIn("${S}/" + name, text, f"{recipe.name}: {name} is not installed")

    def test_enabled_units_exist(self):
        for recipe in RECIPES:
            enabled = value(recipe.read_text(), "SYSTEMD_SERVICE:${PN}")
            if enabled and recipe != EGRET:
                for unit in enabled.split():
                    path = recipe.parent / "files" / unit
                    self.assertIn("[Install]", path.read_text(), unit)

    def test_programs_that_units_start_are_installed(self):
        installed = "".join(r.read_text() for r in RECIPES)
        for unit in UNITS:
            for line in systemd_keys(unit, "ExecStart"):
                program = line.split()[0]
                if program.startswith("/usr/bin/egret"):
                    self.assertIn("${D}${bindir}/" + Path(program).name, installed, unit.name)

    def test_systemd_finds_nothing_in_the_units(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not installed")
        with tempfile.TemporaryDirectory() as folder:
            for unit in UNITS:
                # The programs are not on this machine.
                text = re.sub(r"(?m)^(ExecStart(?:Pre)?)=.*$", r"\1=/bin/true", unit.read_text())
                Path(folder, unit.name).write_text(text)
            # One of the template; fsck's own unit wants a device.
            names = [str(Path(folder, u.name.replace("@.", "@sda1."))) for u in UNITS]
            if Path(folder, "egret-provision@.service").exists():
                shutil.copy(Path(folder, "egret-provision@.service"), Path(folder, "egret-provision@sda1.service"))
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True, check=False,
                                  env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:/lib/systemd/system:/usr/lib/systemd/system"})
            said = [line for line in done.stderr.splitlines() if "/lib/systemd/system/" not in line]
            self.assertEqual(said, [])

    def test_mounts_are_named_after_their_places(self):
        for unit in LAYER.rglob("*.mount"):
            (where,) = systemd_keys(unit, "Where")
            self.assertEqual(unit.stem, where.strip("/").replace("/", "-"))

    def test_no_recipe_of_others_changes_without_the_distribution(self):
        for recipe in LAYER.rglob("*.bbappend"):
            for line in recipe.read_text().splitlines():
                if line and not line.startswith("#"):
                    self.assertRegex(line, r"^\S+:egret-appliance ", recipe.name)

    def test_the_image_is_read_only_and_has_no_open_door(self):
        text = (LAYER / "recipes-egret/images/egret-image.bb").read_text()
        self.assertIn("read-only-rootfs", value(text, "IMAGE_FEATURES"))
        for feature in ("allow-empty-password", "empty-root-password", "allow-root-login", "debug-tweaks"):
            self.assertIn(feature, value(text, "EGRET_FORBIDDEN"))
        ssh = (LAYER / "recipes-egret/egret-base/files/sshd.conf").read_text()
        for line in ("PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitEmptyPasswords no"):
            self.assertIn(line, ssh)

    def test_a_hang_of_the_system_is_seen_before_one_of_the_daemon(self):
        settings = (LAYER / "recipes-egret/egret-base/files/watchdog.conf").read_text().splitlines()
        self.assertIn("[Manager]", settings)
        hardware = next(int(line.split("=")[1].removesuffix("s")) for line in settings if line.startswith("RuntimeWatchdogSec="))
        (daemon,) = systemd_keys(TOP / "systemd/egret.service", "WatchdogSec")
        self.assertLess(hardware, int(daemon))

    def test_a_stick_starts_provisioning(self):
        files = LAYER / "recipes-egret/egret-provision/files"
        (rule,) = (line for line in (files / "60-egret-provision.rules").read_text().splitlines() if line[:1] != "#")
        for part in ('ENV{ID_BUS}=="usb"', 'ENV{ID_FS_TYPE}=="vfat"', 'ENV{ID_FS_LABEL}=="EGRET"', 'TAG+="systemd"',
                     'ENV{SYSTEMD_WANTS}+="egret-provision@%k.service"'):
            self.assertIn(part, rule.split(", "))
        self.assertEqual(systemd_keys(files / "egret-provision@.service", "ExecStart"), ["/usr/bin/egret-provision device %I"])

    def test_boards_share_pinned_layers(self):
        kas = LAYER.parent / "kas"
        common = (kas / "common.yml").read_text()
        urls, commits = re.findall(r"^    url: (\S+)", common, re.M), re.findall(r"^    commit: ([0-9a-f]{40})$", common, re.M)
        self.assertEqual(len(urls), 5)
        self.assertEqual(len(commits), len(urls))
        page = (TOP / "docs/yocto.md").read_text()
        for commit in commits:
            self.assertIn(commit, page)
        boards = [p for p in kas.glob("*.yml") if p.name not in ("common.yml", "software-decoders.yml")]
        self.assertEqual(len(boards), 4)
        for board in boards:
            self.assertRegex(board.read_text(), r"(?m)^machine: \S+$")
            self.assertIn("- yocto/kas/common.yml", board.read_text())


class Updates(unittest.TestCase):
    bundle = LAYER / "dynamic-layers/swupdate/recipes-egret/egret-update-bundle/files"
    settings = LAYER / "dynamic-layers/swupdate/recipes-egret/egret-swupdate-config/files"

    def test_both_slots_get_the_same_into_their_own_partition(self):
        text = (self.bundle / "sw-description").read_text()
        a, b = text.split("into_a:")[1].split("into_b:")
        b = b[: b.rindex("};", 0, b.rindex("};", 0, b.rindex("};")))]
        self.assertEqual(set(re.findall(r"by-partlabel/(\w+)", a)), {"APP"})
        self.assertEqual(set(re.findall(r"by-partlabel/(\w+)", b)), {"APP_b"})
        self.assertEqual(re.sub(r"\s|APP(_b)?", "", a).rstrip("};"), re.sub(r"\s|APP(_b)?", "", b).rstrip("};"))
        # Whatever has a name has a digest: that of the signed list.
        self.assertEqual(text.count("filename ="), text.count("sha256 ="))

    def test_the_slot_that_does_not_run_is_chosen(self):
        for slot, wanted in (("0", "into_b"), ("1", "into_a"), ("", None), ("2", None)):
            with tempfile.TemporaryDirectory() as folder:
                fake = Path(folder, "nvbootctrl")
                fake.write_text(f"#!/bin/sh\necho {slot}\n")
                fake.chmod(0o755)
                done = subprocess.run(
                    [SHELL, "-c", f'SWUPDATE_ARGS=-v; . "{self.settings}/20-egret-slot"; echo "$SWUPDATE_ARGS"'],
                    env={"PATH": f"{folder}:{os.environ['PATH']}"}, capture_output=True, text=True, check=False)
                if wanted:
                    self.assertEqual(done.stdout.strip(), f"-v -e system,{wanted}")
                else:
                    self.assertEqual((done.returncode, done.stdout), (1, ""))

    def test_what_the_slots_are_judged_by_is_what_the_daemon_tells(self):
        slot = (LAYER / "dynamic-layers/tegra/recipes-egret/egret-update/files/egret-slot").read_text()
        told = "".join(p.read_text() for p in (TOP / "daemon/src/observe").rglob("*.rs"))
        families = set(re.findall(r"\^(egret_\w+)", slot))
        self.assertEqual(len(families), 4)
        for family in families:
            self.assertIn(f'"{family}"', told)
        words = (TOP / "daemon/src/status.rs").read_text() + (TOP / "daemon/src/engine/board.rs").read_text()
        for group in re.findall(r"\(((?:\w+\|)+\w+)\)", slot):
            for word in group.split("|"):
                self.assertIn(f'"{word}"', words)
        address = re.search(r"http://([\d.:]+)/metrics", slot).group(1)
        self.assertIn(f'#listen = "{address}"', (TOP / "systemd/egret.toml").read_text())

    def test_a_bundle_speaks_to_the_running_system(self):
        with tempfile.TemporaryDirectory() as folder:
            fake = Path(folder, "egret-slot")
            fake.write_text('#!/bin/sh\necho "$*"\n')
            fake.chmod(0o755)
            for step, said in (("preinst", ""), ("postinst", "begin 0.1.0\n"), ("postfailure", "")):
                done = subprocess.run([SHELL, self.bundle / "egret-switch", step, "0.1.0"], check=True, capture_output=True, text=True,
                                      env={"PATH": f"{folder}:{os.environ['PATH']}"})
                self.assertEqual(done.stdout, said)

    def test_nothing_is_written_before_the_signature_and_the_slot_are_good(self):
        text = (self.settings / "swupdate.cfg").read_text()
        self.assertIn('preupdatecmd = "/usr/bin/egret-slot may-update"', text)
        self.assertIn('cert-purpose = "codeSigning"', text)
        options = (LAYER / "dynamic-layers/swupdate/recipes-support/swupdate/files/egret.cfg").read_text().splitlines()
        for line in ("CONFIG_SIGNED_IMAGES=y", "CONFIG_SIGALG_CMS=y", "# CONFIG_WEBSERVER is not set", "# CONFIG_CMS_IGNORE_EXPIRED_CERTIFICATE is not set"):
            self.assertIn(line, options)

    def test_an_update_that_was_killed_leaves_no_mount_behind(self):
        """Which would keep swupdate from taking the next one: scripts/acceptance/update.sh shows both."""
        drop_in = self.settings / "10-egret-private.conf"
        self.assertEqual(systemd_keys(drop_in, "PrivateTmp"), ["yes"])
        recipe = (self.settings.parent / "egret-swupdate-config_1.0.bb").read_text()
        self.assertIn("${D}${systemd_system_unitdir}/swupdate.service.d/" + drop_in.name, recipe)


class Signatures(unittest.TestCase):
    """What yocto/update-keys.sh makes, signed as meta-swupdate's class signs and verified by the library that swupdate uses."""

    def test_good_wrong_expired_and_before_its_time(self):
        with tempfile.TemporaryDirectory() as folder:
            keys, others, listed, signature = (Path(folder, n) for n in ("keys", "others", "sw-description", "sw-description.sig"))
            for made in (keys, others):
                subprocess.run([TOP / "yocto/update-keys.sh", made], check=True, capture_output=True)
            self.assertEqual(os.stat(keys / "ca.key").st_mode & 0o077, 0)
            listed.write_text("software = {};\n")
            subprocess.run(["openssl", "cms", "-sign", "-in", listed, "-out", signature, "-signer", keys / "signer.pem", "-inkey",
                            keys / "signer.key", "-outform", "DER", "-nosmimecap", "-binary"], check=True, capture_output=True)

            def verify(authority, *more):
                done = subprocess.run(["openssl", "cms", "-verify", "-inform", "DER", "-in", signature, "-content", listed, "-CAfile",
                                       authority / "ca.pem", "-purpose", "any", "-binary", "-out", os.devnull, *more],
                                      capture_output=True, text=True, check=False)
                return done.returncode == 0, done.stderr

            self.assertTrue(verify(keys)[0])
            self.assertFalse(verify(others)[0])
            in_ten_years = str(2_100_000_000)
            for when, reason in (("0", "not yet valid"), (in_ten_years, "expired")):
                good, told = verify(keys, "-attime", when)
                self.assertFalse(good)
                self.assertIn(reason, told)
            listed.write_text("software = { };\n")
            self.assertFalse(verify(keys)[0])


class DataPartition(unittest.TestCase):
    """systemd-repart on a disk as NVIDIA's layout for A/B leaves it: sixteen partitions, the rest free."""

    definitions = LAYER / "recipes-egret/egret-base/files/50-egret-data.conf"
    layout = """label: gpt
first-lba: 40
size=1024, name="A_kernel"
size=1024, name="B_kernel"
size=131072, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="esp"
size=65536, name="UDA"
size=131072, name="APP"
size=131072, name="APP_b"
"""

    def plan(self, disk, folder):
        done = subprocess.run(["systemd-repart", "--dry-run=yes", "--json=short", f"--definitions={folder}", disk],
                              check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def test_it_goes_into_what_is_free_and_touches_nothing_else(self):
        if not shutil.which("systemd-repart") or not shutil.which("sfdisk"):
            self.skipTest("systemd-repart or sfdisk is not installed")
        with tempfile.TemporaryDirectory() as folder:
            disk = Path(folder, "disk")
            with disk.open("wb") as made:
                made.truncate(16 << 30)
            subprocess.run(["sfdisk", "--quiet", disk], input=self.layout, text=True, check=True, capture_output=True)
            definitions = Path(folder, "repart.d")
            definitions.mkdir()
            shutil.copy(self.definitions, definitions)
            rows = self.plan(disk, definitions)
            changed = [r for r in rows if r.get("activity") not in ("unchanged", "unknown")]
            self.assertEqual([(r["label"], r["activity"]) for r in changed], [("egret-data", "create")], rows)
            self.assertGreater(changed[0]["raw_size"], 15 << 30)
            # Once it is there, nothing is left to do.
            table = subprocess.run(["sfdisk", "--dump", disk], check=True, capture_output=True, text=True).stdout
            kind = value_of(self.definitions, "Type")
            subprocess.run(["sfdisk", "--quiet", "--append", disk], input=f'type={kind}, name="egret-data"\n', text=True, check=True, capture_output=True)
            rows = self.plan(disk, definitions)
            self.assertEqual([r for r in rows if r.get("activity") == "create"], [])
            self.assertNotEqual(table, "")


def value_of(path, key):
    (found,) = systemd_keys(path, key)
    return found


if __name__ == "__main__":
    unittest.main()
