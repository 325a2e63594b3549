"""egret-slot against fake firmware: two slots, variables, and a clock that only sleeping moves."""

import shutil
import unittest

from fake_device import LAYER, FakeDevice

METRICS = """# TYPE egret_camera_state gauge
egret_camera_state{camera="door",state="connecting"} 0
egret_camera_state{camera="door",state="online"} 1
egret_camera_state{camera="yard",state="online"} 0
egret_camera_state{camera="yard",state="unreachable"} 1
egret_camera_state{camera="gate",state="black"} 1.0
egret_mqtt_connected{broker="mqtt"} 1
egret_mqtt_connected{broker="cloud"} 0
egret_runtime_info{model="yolox",runtime="tensorrt 10.16.2",precision="fp16",sha256="00"} 1
# EOF
"""
WORKING = ["broker mqtt", "camera door", "camera gate", "network yolox tensorrt"]


class Slots(FakeDevice):
    program = LAYER / "dynamic-layers/tegra/recipes-egret/egret-update/files/egret-slot"

    def setUp(self):
        super().setUp()
        self.write("firmware/slot", "0\n")
        self.write("proc/uptime", "10.00 20.00\n")
        self.write("dev/disk/by-partlabel/APP_b", "")
        self.write("metrics", METRICS)
        self.write("usr/bin/uefi_common.func", f'set_efi_var() {{\nlocal once="$4"\n[ -z "$RUNTIME_DIRECTORY" ] && false\necho "set_efi_var $*" >>"{self.log}"; [ ! -e "{self.root}/efi-broken" ]\n}}\n')
        self.fake(
            "nvbootctrl",
            f'''case "$*" in
get-current-slot) cat "{self.root}/firmware/slot" ;;
"-t rootfs dump-slots-info") cat "{self.root}/firmware/slots" 2>/dev/null || echo "num_slots: 2" ;;
"set-active-boot-slot "*) [ ! -e "{self.root}/firmware/broken" ] || exit 1; echo "$2" >"{self.root}/firmware/next" ;;
verify) ;;
*) exit 9 ;;
esac''',
        )
        self.fake("oe4t-set-uefi-OSIndications")
        # A real one would wait for whatever else this machine writes.
        self.fake("sync")
        self.fake("curl", f'cat "{self.root}/metrics" 2>/dev/null || exit 7')
        self.fake(
            "systemctl",
            f'''case "$1 $2" in
"is-active egret.service") cat "{self.root}/egret-is" ;;
"is-active --quiet") [ "$(cat "{self.root}/egret-is")" = active ] ;;
"is-active egret-engine-build.service") cat "{self.root}/building-is" 2>/dev/null || {{ echo inactive; exit 3; }} ;;
"show -P") [ "$3" = Result ] && echo exit-code || echo 78 ;;
esac''',
        )
        # Time is what is slept; a script in `then` may happen at a given second.
        self.fake(
            "sleep",
            f'''now=$(($(cut -d. -f1 "{self.root}/proc/uptime") + $1)); echo "$now.00 0.00" >"{self.root}/proc/uptime"
[ ! -e "{self.root}/then" ] || . "{self.root}/then"''',
        )
        self.write("egret-is", "active\n")

    def trial(self, slot=1, phase="installed", **more):
        fields = {"format": 1, "slot": slot, "old": 1 - slot, "version": "2.0", "phase": phase, **more}
        self.write("data/update/trial", "".join(f"{k}={v}\n" for k, v in fields.items()))
        self.write("data/update/before", "\n".join(WORKING) + "\n")
        self.write("firmware/slot", f"{slot}\n")

    def field(self, name, file="trial"):
        text = self.read(f"data/update/{file}") or ""
        return next((line.split("=", 1)[1] for line in text.splitlines() if line.startswith(name + "=")), None)

    def verified(self):
        return self.calls("nvbootctrl").count("nvbootctrl verify")

    def went_back(self):
        return self.read("firmware/next"), "systemctl --no-block reboot" in self.calls("systemctl")

    # What is installed

    def test_an_update_is_begun(self):
        self.assertIn("would go to slot B", self.run_program("may-update"))
        self.run_program("begin", "2.0")
        self.assertEqual([self.field(n) for n in ("slot", "old", "version", "phase")], ["1", "0", "2.0", "installed"])
        self.assertEqual(self.read("data/update/before").splitlines(), WORKING)
        self.assertEqual(self.calls("set_efi_var"), ["set_efi_var RootfsStatusSlotB 781e084c-a330-417c-b678-38e696380cb9 \\x00\\x00\\x00\\x00"])
        self.assertEqual(len(self.calls("oe4t-set-uefi-OSIndications")), 1)
        # While it is on trial, no other: it would be written over the way back.
        self.assertIn("still on trial", self.run_program("may-update", ok=False))

    def test_updates_are_refused_before_a_byte_is_written(self):
        self.write("firmware/slots", "rootfs A/B is not enabled\n")
        self.assertIn("A/B is not enabled", self.run_program("may-update", ok=False))
        (self.root / "firmware/slots").unlink()
        (self.root / "dev/disk/by-partlabel/APP_b").unlink()
        self.assertIn("no partition APP_b", self.run_program("may-update", ok=False))
        self.write("dev/disk/by-partlabel/APP_b", "")
        self.assertIn("KiB are free", self.run_program("may-update", ok=False, EGRET_FREE_KIB="99999999999"))
        self.write("firmware/slot", "7\n")
        self.assertIn("does not say which slot", self.run_program("may-update", ok=False))
        self.write("firmware/slot", "0\n")
        shutil.rmtree(self.root / "data/update")
        self.assertIn("takes nothing", self.run_program("may-update", ok=False))

    def test_firmware_that_takes_no_order_leaves_no_trial(self):
        self.write("efi-broken", "")
        self.assertIn("did not take the order", self.run_program("begin", "2.0", ok=False))
        self.assertIsNone(self.read("data/update/trial"))
        self.assertEqual(self.field("result", "last"), "failed")

    def test_a_daemon_that_does_not_answer_promises_nothing(self):
        (self.root / "metrics").unlink()
        self.run_program("begin", "2.0")
        self.assertEqual(self.read("data/update/before"), "")
        for version in ("", "a b", "$(reboot)"):
            self.run_program("begin", version, ok=False)

    # Each boot

    def test_a_slot_that_was_good_is_confirmed_whatever_egret_does(self):
        for state in ("active", "failed", "activating"):
            self.write("egret-is", state + "\n")
            self.run_program("confirm")
        self.assertEqual(self.verified(), 3)
        self.assertEqual(self.went_back(), (None, False))
        self.assertNotIn("is-active", " ".join(self.calls("systemctl")))

    def test_on_trial_ready_confirms_and_opens_the_gate(self):
        self.trial()
        self.write("egret-is", "activating\n")
        self.write("then", f'[ "$now" -lt 40 ] || echo active >"{self.root}/egret-is"\n')
        self.run_program("confirm")
        self.assertEqual((self.verified(), self.field("phase")), (1, "confirmed"))
        self.assertIn("systemctl --no-block start egret-health-gate.service", self.calls("systemctl"))
        self.assertEqual(self.went_back(), (None, False))

    def test_on_trial_a_refused_configuration_goes_back(self):
        self.trial()
        self.write("egret-is", "failed\n")
        self.assertIn("exit status 78", self.run_program("confirm"))
        self.assertEqual((self.verified(), self.went_back()), (0, ("0\n", True)))
        self.assertEqual(self.field("phase"), "rolling-back")
        # The next boot is the old slot's: confirmed, and how it ended is kept.
        self.write("firmware/slot", "0\n")
        self.run_program("confirm")
        self.assertEqual(self.verified(), 1)
        self.assertEqual((self.field("result", "last"), self.field("version", "last")), ("rolled-back", "2.0"))
        self.assertIn("78", self.field("reason", "last"))
        self.assertIsNone(self.read("data/update/trial"))

    def test_on_trial_the_firmwares_window_is_kept(self):
        self.trial()
        self.write("egret-is", "activating\n")
        self.assertIn("not ready 90 s", self.run_program("confirm"))
        self.assertLess(float(self.read("proc/uptime").split()[0]), 100)
        self.assertEqual((self.verified(), self.went_back()), (0, ("0\n", True)))

    def test_firmware_that_fell_back_by_itself_is_noted(self):
        self.trial()
        self.write("firmware/slot", "0\n")
        self.run_program("confirm")
        self.assertEqual((self.verified(), self.field("result", "last")), (1, "not-started"))

    def test_a_damaged_record_is_no_reason_to_reset_for_ever(self):
        for text in ("", "garbage\0\n", "format=2\nslot=1\n", "format=1\n"):
            self.write("data/update/trial", text)
            self.write("firmware/slot", "1\n")
            self.write("egret-is", "failed\n")
            self.run_program("confirm")
            self.assertIsNone(self.read("data/update/trial"))
        self.assertEqual((self.verified(), self.went_back()), (4, (None, False)))

    def test_no_start_is_repeated_for_ever(self):
        """Firmware that ignores the order: after three attempts the slot stays."""
        self.trial()
        self.write("egret-is", "failed\n")
        for _ in range(3):
            self.run_program("confirm")
        self.assertEqual(self.verified(), 0)
        self.run_program("confirm")
        self.assertEqual((self.verified(), self.field("result", "last")), (1, "stuck"))

    def test_no_start_is_repeated_for_ever_on_a_disk_that_takes_nothing_either(self):
        self.trial()
        self.write("egret-is", "failed\n")
        self.write("firmware/broken", "")
        self.fake("mv", "exit 1")
        self.run_program("confirm")
        self.assertEqual((self.verified(), self.went_back()), (1, (None, False)))

    def test_a_disk_that_takes_nothing_does_not_keep_a_slot_from_being_confirmed(self):
        self.trial()
        self.fake("mv", "exit 1")
        self.run_program("confirm")
        self.assertEqual((self.verified(), self.went_back()), (1, (None, False)))

    def test_older_tools_are_told_in_their_own_way(self):
        self.fake("nvbootctrl", f'case "$*" in get-current-slot) echo 0 ;; "-t rootfs mark-boot-successful") ;; *) exit 1 ;; esac')
        self.run_program("confirm")
        self.assertEqual(self.calls("nvbootctrl")[-1], "nvbootctrl -t rootfs mark-boot-successful")

    # The health gate

    def test_all_there_again(self):
        self.trial(phase="confirmed")
        # The gate's own version of the runtime and a camera more change nothing.
        self.write("metrics", METRICS.replace("10.16.2", "11.4.1"))
        self.run_program("gate")
        self.assertEqual((self.field("result", "last"), self.went_back()), ("good", (None, False)))
        self.assertIsNone(self.read("data/update/trial"))
        self.assertEqual(len(self.calls("curl")), 2)

    def test_what_comes_late_is_waited_for(self):
        self.trial(phase="confirmed")
        (self.root / "metrics").unlink()
        self.write("whole", METRICS)
        self.write("then", f'[ "$now" -lt 200 ] || cp "{self.root}/whole" "{self.root}/metrics"\n')
        self.run_program("gate")
        self.assertEqual(self.field("result", "last"), "good")

    def test_what_is_missing_goes_back_with_its_name(self):
        for text, reason in (
            (METRICS.replace('camera="door",state="online"} 1', 'camera="door",state="online"} 0'), "camera door;"),
            (METRICS.replace('broker="mqtt"} 1', 'broker="mqtt"} 0'), "broker mqtt;"),
            (METRICS.replace("tensorrt 10.16.2", "rten 0.27.0"), "network yolox tensorrt;"),
            (None, "answers at"),
        ):
            self.trial(phase="confirmed")
            self.write("proc/uptime", "100.00 0.00\n")
            if text is None:
                (self.root / "metrics").unlink()
            else:
                self.write("metrics", text)
            self.run_program("gate", EGRET_GATE_WITHIN="120")
            self.assertIn(reason, self.field("reason"))
            self.assertEqual((self.field("phase"), self.went_back()), ("rolling-back", ("0\n", True)))
            self.assertLess(float(self.read("proc/uptime").split()[0]), 100 + 120 + 30)

    def test_what_was_missing_before_may_be_missing(self):
        self.trial(phase="confirmed")
        self.write("metrics", METRICS.replace('camera="yard",state="unreachable"} 1', 'camera="yard",state="unreachable"} 0'))
        self.run_program("gate")
        self.assertEqual(self.field("result", "last"), "good")

    BUILDING = METRICS.replace("tensorrt 10.16.2", "rten 0.27.0").replace(
        "# EOF", 'egret_engine_state{model="yolox",state="serving"} 0\negret_engine_state{model="yolox",state="building"} 1\n# EOF')

    def test_engines_that_the_daemon_builds_take_their_time(self):
        for word in ("waiting", "building", "checking", "on_trial"):
            self.trial(phase="confirmed")
            self.write("proc/uptime", "10.00 0.00\n")
            self.write("whole", METRICS)
            self.write("metrics", self.BUILDING.replace("building", word))
            self.write("then", f'[ "$now" -lt 200 ] || cp "{self.root}/whole" "{self.root}/metrics"\n')
            self.run_program("gate", EGRET_GATE_WITHIN="60")
            self.assertEqual(self.field("result", "last"), "good", word)

    def test_engines_take_their_time_but_not_for_ever(self):
        for by_service in (True, False):
            self.trial(phase="confirmed")
            self.write("proc/uptime", "10.00 0.00\n")
            self.write("metrics", METRICS.replace("tensorrt 10.16.2", "rten 0.27.0") if by_service else self.BUILDING)
            self.write("building-is", "activating\n" if by_service else "inactive\n")
            self.run_program("gate", EGRET_GATE_WITHIN="60", EGRET_GATE_AT_MOST="300")
            self.assertEqual(self.went_back(), ("0\n", True))
            self.assertGreater(float(self.read("proc/uptime").split()[0]), 300)

    def test_an_engine_that_failed_is_not_waited_for(self):
        for word in ("failed", "rejected"):
            self.trial(phase="confirmed")
            self.write("proc/uptime", "10.00 0.00\n")
            self.write("metrics", self.BUILDING.replace("building", word))
            self.run_program("gate", EGRET_GATE_WITHIN="60", EGRET_GATE_AT_MOST="300")
            self.assertIn("network yolox tensorrt;", self.field("reason"))
            self.assertLess(float(self.read("proc/uptime").split()[0]), 100)

    def test_a_lost_camera_does_not_wait_for_engines(self):
        self.trial(phase="confirmed")
        self.write("metrics", self.BUILDING.replace('camera="door",state="online"} 1', 'camera="door",state="online"} 0'))
        self.run_program("gate", EGRET_GATE_WITHIN="60", EGRET_GATE_AT_MOST="300")
        self.assertEqual(self.field("reason").split(": ")[1], "camera door;network yolox tensorrt;")
        self.assertLess(float(self.read("proc/uptime").split()[0]), 100)

    def test_a_camera_that_comes_and_goes_is_not_back(self):
        self.trial(phase="confirmed")
        self.write("whole", METRICS)
        self.write("half", METRICS.replace('camera="door",state="online"} 1', 'camera="door",state="online"} 0'))
        self.write("then", f'if [ $((now / 15 % 2)) = 0 ]; then cp "{self.root}/whole" "{self.root}/metrics"; else cp "{self.root}/half" "{self.root}/metrics"; fi\n')
        self.run_program("gate", EGRET_GATE_WITHIN="120")
        self.assertEqual(self.went_back(), ("0\n", True))

    def test_without_promises_a_running_daemon_is_enough(self):
        self.trial(phase="confirmed")
        self.write("data/update/before", "")
        (self.root / "metrics").unlink()
        self.run_program("gate")
        self.assertEqual(self.field("result", "last"), "good")

    def test_the_gate_is_shut_without_a_confirmed_trial(self):
        self.run_program("gate")
        self.trial(phase="started")
        self.run_program("gate")
        self.trial(phase="confirmed")
        self.write("firmware/slot", "0\n")
        self.run_program("gate")
        self.assertEqual((self.calls("curl"), self.went_back()), ([], (None, False)))

    def test_by_hand(self):
        self.assertIn("no trial", self.run_program("accept", ok=False))
        self.assertIn("no trial", self.run_program("rollback", "no", ok=False))
        self.trial(phase="confirmed")
        self.assertIn("version=2.0", self.run_program("status"))
        self.run_program("rollback", "the picture is green")
        self.assertEqual((self.field("reason"), self.went_back()), ("the picture is green", ("0\n", True)))
        self.trial(phase="confirmed")
        self.run_program("accept")
        self.assertIn("result=good", self.run_program("status"))
        self.assertIn("egret-slot confirm", self.run_program("unknown", ok=False))

    # Bad days

    def test_a_cut_at_any_moment_of_the_beginning_is_no_trial_or_a_whole_one(self):
        self.count("mv", "sync", "rm", "oe4t-set-uefi-OSIndications")
        cut, done = 0, False
        while not done:
            cut += 1
            shutil.rmtree(self.root / "data/update")
            (self.root / "data/update").mkdir()
            self.write("count", "0\n")
            done = self.run_until(cut, "begin", "2.0")
            if self.read("data/update/trial") is not None:
                self.assertEqual([self.field(n) for n in ("slot", "old", "version", "phase")], ["1", "0", "2.0", "installed"])
                self.assertEqual(self.read("data/update/before").splitlines(), WORKING)
            # The old slot starts again: it is confirmed, and the next update may come.
            self.run_program("confirm", CUT="0")
            self.run_program("may-update", CUT="0")
        self.assertGreater(cut, 6)

    def test_a_cut_at_any_moment_of_a_trial_ends_as_it_would_have(self):
        """The new slot holds; egret fails in it; it comes up and a camera stays away."""
        self.count("mv", "rm", "nvbootctrl", "systemctl")
        missing = METRICS.replace('camera="door",state="online"} 1', 'camera="door",state="online"} 0')
        for egret, metrics, end in (("active", METRICS, "good"), ("failed", METRICS, "rolled-back"), ("active", missing, "rolled-back")):
            cut, done = 0, False
            while not done:
                cut += 1
                shutil.rmtree(self.root / "data/update")
                self.trial()
                self.write("firmware/next", "1\n")
                self.write("count", "0\n")
                starts, whole = 0, False
                while not whole or self.read("data/update/trial") is not None:
                    # Only the first start is cut off; each begins with what the firmware was told last, and counts its time anew.
                    starts += 1
                    self.assertLess(starts, 5, f"cut {cut}")
                    new = self.read("firmware/next") == "1\n"
                    self.write("firmware/slot", self.read("firmware/next"))
                    self.write("proc/uptime", "10.00 0.00\n")
                    self.write("egret-is", (egret if new else "active") + "\n")
                    self.write("metrics", metrics)
                    here = cut if starts == 1 else 0
                    whole = self.run_until(here, "confirm") and self.run_until(here, "gate", EGRET_GATE_WITHIN="15")
                    done = whole if starts == 1 else done
                self.assertEqual(self.field("result", "last"), end, f"cut {cut}")
                self.assertEqual(self.read("firmware/slot"), "1\n" if end == "good" else "0\n", f"cut {cut}")
            self.assertGreater(cut, 6)

    def test_a_disk_that_takes_nothing(self):
        for state in ("full", "read-only"):
            status, said, _ = self.run_on_disk(state, "may-update")
            self.assertEqual(status, 1)
            self.assertIn("the data partition takes nothing", said)
            # An update that was begun all the same tells the firmware nothing.
            status, said, after = self.run_on_disk(state, "begin", "2.0")
            self.assertNotEqual(status, 0)
            self.assertEqual(self.calls("set_efi_var"), [])
            self.assertFalse((after / "update/trial").exists())
            # A slot on trial is confirmed all the same, and one that does not hold goes back.
            self.trial()
            before = self.verified()
            self.assertEqual(self.run_on_disk(state, "confirm")[0], 0)
            self.assertEqual(self.verified(), before + 1)
            self.write("egret-is", "failed\n")
            self.assertEqual(self.run_on_disk(state, "confirm")[0], 0)
            self.assertEqual((self.verified(), self.went_back()), (before + 1, ("0\n", True)))
            self.write("egret-is", "active\n")
            self.write("firmware/slot", "0\n")
            (self.root / "data/update/trial").unlink()

    def test_a_clock_that_was_never_set_and_steps_changes_nothing(self):
        self.fake("date", f'[ -e "{self.root}/stepped" ] && echo 2041-06-01T00:00:00Z || echo 1970-01-01T00:00:10Z; : >"{self.root}/stepped"')
        self.run_program("begin", "2.0")
        self.write("firmware/slot", "1\n")
        self.write("egret-is", "activating\n")
        self.write("then", f'rm -f "{self.root}/stepped"; [ "$now" -lt 40 ] || echo active >"{self.root}/egret-is"\n')
        self.run_program("confirm")
        self.assertEqual((self.verified(), self.field("phase")), (1, "confirmed"))
        self.run_program("gate")
        self.assertEqual(self.field("result", "last"), "good")


if __name__ == "__main__":
    unittest.main()
