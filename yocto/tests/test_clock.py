"""The clock of the image: chrony's configuration, its state, and time servers that DHCP names."""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from fake_device import LAYER, SHELL, FakeDevice

CLOCK = LAYER / "dynamic-layers/networking-layer/recipes-egret/egret-clock"
FILES = CLOCK / "files"


def directives():
    lines = (FILES / "chrony.conf").read_text().splitlines()
    return [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]


class Configuration(unittest.TestCase):
    def test_a_clock_of_1970_is_stepped_once_and_slewed_later(self):
        ((_, step),) = (d for d in directives() if d[0] == "makestep")
        threshold, updates = step.split()
        self.assertGreater(float(threshold), 0)
        # Negative would be for ever.
        self.assertIn(int(updates), range(1, 10))

    def test_the_last_known_time_is_on_the_data_partition(self):
        ((_, drift),) = (d for d in directives() if d[0] == "driftfile")
        mount = (FILES / "var-lib-chrony.mount").read_text()
        self.assertIn("Where=" + str(Path(drift.split()[0]).parent) + "\n", mount)
        what = re.search(r"What=(\S+)", mount).group(1)
        folders = (LAYER / "recipes-egret/egret-base/files/data-folders.conf").read_text()
        self.assertRegex(folders, rf"(?m)^d {what} ")
        unit = (FILES / "10-egret.conf").read_text()
        self.assertIn("RequiresMountsFor=" + str(Path(drift.split()[0]).parent) + "\n", unit)
        # chronyd sets the clock to the file's date only when it is told so.
        self.assertRegex(unit, r'OPTIONS=-s -f /usr/share/egret/chrony\.conf"')

    def test_an_rtc_without_a_battery_cannot_take_the_clock_back(self):
        given = dict(d if len(d) == 2 else (d[0], "") for d in directives())
        self.assertTrue(given["rtcdevice"].startswith("/dev/egret-no-"))
        self.assertIn("rtcsync", given)
        self.assertNotIn("rtcfile", given)

    def test_a_site_s_servers_come_before_the_image_s(self):
        ((_, folders),) = (d for d in directives() if d[0] == "sourcedir")
        self.assertEqual(folders.split(), ["/data/time", "/run/egret-time", "/usr/share/egret/time"])
        self.assertEqual(dict(d for d in directives() if len(d) == 2)["confdir"], "/data/time")
        self.assertFalse([d for d in directives() if d[0] in ("pool", "server", "peer")], "a site could not take it away")
        recipe = (CLOCK / "egret-clock_1.0.bb").read_text()
        for place in ("${datadir}/egret/time/pool.sources", "${datadir}/egret/chrony.conf"):
            self.assertIn("${D}" + place, recipe)

    def test_chronyd_is_alone(self):
        distribution = (LAYER / "conf/distro/egret-appliance.conf").read_text()
        self.assertRegex(distribution, r"PACKAGECONFIG:remove:pn-systemd = .*'networking-layer', 'timesyncd'")
        group = (LAYER / "recipes-egret/packagegroups/packagegroup-egret.bb").read_text()
        self.assertIn("'networking-layer', 'egret-clock'", group)
        self.assertIn("\n      meta-networking:\n", (LAYER.parent / "kas/common.yml").read_text())


@unittest.skipUnless(os.environ.get("EGRET_TEST_CHRONYD"), "EGRET_TEST_CHRONYD names no chronyd of 4.8")
class Chronyd(unittest.TestCase):
    """The real chronyd reads the configuration (-p prints what it has understood)."""

    def read(self, text):
        with tempfile.TemporaryDirectory() as folder:
            conf = Path(folder, "chrony.conf")
            conf.write_text(text)
            return subprocess.run([os.environ["EGRET_TEST_CHRONYD"], "-p", "-f", conf], capture_output=True, text=True, check=False)

    def test_it_takes_the_configuration_where_no_folder_is_there(self):
        done = self.read((FILES / "chrony.conf").read_text())
        self.assertEqual(done.returncode, 0, done.stderr)
        for line in ("makestep 1.0 3", "driftfile /var/lib/chrony/drift interval 600"):
            self.assertIn(line, done.stdout.splitlines())

    def test_it_refuses_what_it_does_not_know(self):
        done = self.read("makestep soon\n")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("makestep", done.stdout + done.stderr)


class Servers(FakeDevice):
    """egret-time-servers."""

    def run_it(self):
        done = subprocess.run([SHELL, FILES / "egret-time-servers"], env=self.environment, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr

    def given(self):
        return (self.root / "run/egret-time/dhcp.sources").read_text()

    def setUp(self):
        super().setUp()
        self.fake("chronyc")
        (self.root / "run/systemd/netif").mkdir(parents=True)

    def test_what_dhcp_names_reaches_chronyd_once(self):
        self.write("run/systemd/netif/state", "OPER_STATE=routable\nDNS=10.0.0.1\nNTP=10.0.0.2 ntp.site.example fd00::1\n")
        self.run_it()
        self.run_it()
        self.assertEqual(self.given(), "server 10.0.0.2 iburst\nserver ntp.site.example iburst\nserver fd00::1 iburst\n")
        self.assertEqual(self.calls("chronyc"), ["chronyc reload sources"])

    def test_a_lease_without_servers_takes_them_back(self):
        self.write("run/systemd/netif/state", "NTP=10.0.0.2\n")
        self.run_it()
        self.write("run/systemd/netif/state", "OPER_STATE=routable\n")
        self.run_it()
        self.assertEqual(self.given(), "")
        self.assertEqual(len(self.calls("chronyc")), 2)

    def test_no_network_and_no_chronyd_is_no_failure(self):
        self.fake("chronyc", "exit 1")
        self.run_it()
        self.assertEqual(self.given(), "")

    def test_what_is_no_name_is_left_out(self):
        self.write("run/systemd/netif/state", "NTP=-x a;b $(reboot) * 10.0.0.2 a#b\n")
        self.assertIn("is none", self.run_it())
        self.assertEqual(self.given(), "server 10.0.0.2 iburst\n")


if __name__ == "__main__":
    unittest.main()
