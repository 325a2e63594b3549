"""A machine for the flashing scripts: a small BSP and root file system as archives, and programs that stand for the real ones.

Every call of such a program is written down. With KILL_AT=n the whole process group dies at the n-th point: before or after
one of the calls that change something.
"""

import bz2
import hashlib
import io
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SCRIPTS = HERE.parent

HOOK = """
point() {
  [ -n "${KILL_AT:-}" ] || return 0
  echo >>"$WORLD/points"
  [ "$(wc -l <"$WORLD/points")" -ne "$KILL_AT" ] || kill -9 0
}
called() { printf '%s' "$1" >>"$WORLD/calls"; shift; [ $# -eq 0 ] || printf ' %q' "$@" >>"$WORLD/calls"; echo >>"$WORLD/calls"; }
"""

# What stands for each program: its name, then what it does. `real` runs the one of the machine.
PROGRAMS = {
    "id": "echo ${FAKE_UID:-0}",
    "uname": "echo ${FAKE_MACHINE:-x86_64}",
    "df": 'echo Avail; echo "${FAKE_FREE:-900000000000}"',
    "findmnt": "echo ${FAKE_OPTIONS:-rw,relatime}",
    "lsusb": 'called lsusb "$@"; cat "$WORLD/usb" && [ -s "$WORLD/usb" ]',
    "dpkg-deb": '''[ "${FAKE_PACKAGE:-}" != none ] || { echo "dpkg-deb: error: not a Debian format archive" >&2; exit 2; }
case $3 in Package) echo ${FAKE_PACKAGE:-egret} ;; Architecture) echo ${FAKE_ARCHITECTURE:-arm64} ;; esac''',
    "unshare": """called unshare "$@"; point
rootfs=$6; [ -x "$5" ] || exit 9
mkdir -p "$rootfs/usr/bin"; echo "$7 ${*:9}" >"$rootfs/usr/bin/egret"
echo "egret:x:991:990::/var/lib/egret:/usr/sbin/nologin" >>"$rootfs/etc/passwd"; point""",
    "chroot": "exit 9",
    "chown": 'called chown "$@"',
    "tar": 'called tar "$@"; point; /usr/bin/env -i PATH=/usr/bin:/bin tar "$@"; point',
    "mv": 'case ${*: -1} in */rootfs/usr/* | */power-mode* | */mqtt*) ;; *) point ;; esac; /bin/mv "$@"',
    "ssh": 'called ssh "$@"; [ ! -e "$WORLD/ssh-fails" ] || exit 255; bash -s',
}

BSP_FILES = {
    "nv_tegra/bsp_version": "# of the BSP\nBSP_BRANCH={0}\nBSP_MAJOR={1}\nBSP_MINOR={2}\n",
    "apply_binaries.sh": """#!/bin/bash
. "$WORLD/hook"; called apply_binaries.sh "$@"; point
[ ! -e rootfs/applied ] || { echo "applied twice"; exit 1; }
mkdir -p rootfs/etc/apt/sources.list.d; echo NVIDIA >rootfs/etc/nv_tegra_release; echo yes >rootfs/applied; point
""",
    "tools/l4t_create_default_user.sh": """#!/bin/bash
. "$WORLD/hook"; called l4t_create_default_user.sh "${@:1:3}" PASSWORD "${@:5}"; point
[ ${#4} -eq 48 ] || exit 1
! grep -q "^$2:" rootfs/etc/passwd || { echo "the user exists"; exit 1; }
echo "$2:x:1000:1000::/home/$2:/bin/bash" >>rootfs/etc/passwd; echo "$2:$4:19000:0:99999:7:::" >>rootfs/etc/shadow
echo "$6" >rootfs/etc/hostname; mkdir -p "rootfs/home/$2"; point
""",
    "flash-tool": """#!/bin/bash
. "$WORLD/hook"; called "${0}" "ROOTFS_AB=${ROOTFS_AB:-}" "RETRIES=${ROOTFS_RETRY_COUNT_MAX:-}" "$@"; point
echo "as NVIDIA's tool"; [ ! -e "$WORLD/flash-fails" ] || exit 7; point
""",
}
LAYOUTS = ["tools/kernel_flash/flash_l4t_t234_nvme.xml", "tools/kernel_flash/flash_l4t_t234_nvme_rootfs_ab.xml",
           "bootloader/generic/cfg/flash_t234_qspi.xml"]
CONFIGS = ["jetson-orin-nano-devkit-super", "jetson-agx-orin-devkit", "jetson-agx-thor-devkit", "carrier-of-mine"]
ROOT_FILES = {"etc/passwd": "root:x:0:0:root:/root:/bin/bash\n", "etc/group": "root:x:0:\noperator:x:37:\n", "etc/shadow": "root:*:19000:0:99999:7:::\n",
              "etc/ssh/ssh_host_ed25519_key": "the same on every device\n", "etc/machine-id": "0123456789abcdef\n",
              "etc/systemd/system/multi-user.target.wants/x": "", "usr/sbin/x": "", "run/x": ""}


def archive(path, files):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, text in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text.encode()), 0o755 if text.startswith("#!") else 0o644
            tar.addfile(info, io.BytesIO(text.encode()))
    path.write_bytes(bz2.compress(raw.getvalue(), 1))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bsp_archive(path, release, without=()):
    numbers = release.split(".")
    files = {n: t.format(*numbers) if n.endswith("version") else t for n, t in BSP_FILES.items()}
    tool = files.pop("flash-tool")
    files |= {"l4t_initrd_flash.sh": tool, "tools/kernel_flash/l4t_initrd_flash.sh": tool, "rootfs/README.txt": ""}
    files |= {f"{c}.conf": "" for c in CONFIGS} | {layout: "" for layout in LAYOUTS}
    archive(path, {f"Linux_for_Tegra/{n}": t for n, t in files.items() if n not in without})


class World:
    def __init__(self):
        # Not $TMPDIR: its name goes through the scripts, which refuse blanks.
        self.at = pathlib.Path(tempfile.mkdtemp(prefix="egret-flash-"))
        self.work = self.at / "work"
        (self.at / "bin").mkdir()
        (self.at / "hook").write_text(HOOK)
        for name, text in PROGRAMS.items():
            self.program(name, text)
        self.file("root/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
        self.file("root/proc/sys/fs/binfmt_misc/qemu-aarch64", "enabled\n")
        self.usb("")
        for release in ("36.5.0", "39.2.0"):
            bsp_archive(self.at / f"bsp-{release}.tbz2", release)
        archive(self.at / "rootfs.tbz2", ROOT_FILES)
        self.file("egret.deb", "a package\n")
        self.file("key.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFake somebody\n")
        self.file("password", "correct horse\n")
        self.file("egret.toml", "[mqtt]\n")
        self.file("credentials/mqtt.password", "secret\n")

    def remove(self):
        shutil.rmtree(self.at)

    def file(self, name, text):
        path = self.at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def program(self, name, text):
        path = self.at / "bin" / name
        # Most calls are of those that only answer: the smallest shell will do.
        notes = "called" in text or "point" in text
        path.write_text(f'#!/bin/bash\n. "$WORLD/hook"\n{text}\n' if notes else f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def usb(self, *ids):
        lines = [f"Bus 00{i + 1} Device 01{i + 1}: ID 0955:{d} NVIDIA Corp. APX\n" for i, d in enumerate(ids) if d]
        self.file("usb", "".join(lines))

    def run(self, script, *arguments, kill_at=None, **environment):
        (self.at / "calls").write_text("")
        (self.at / "points").write_text("")
        env = {"PATH": f"{self.at}/bin:/usr/bin:/bin", "WORLD": str(self.at), "EGRET_FLASH_ROOT": str(self.at / "root"),
               "HOME": str(self.at)} | {k: str(v) for k, v in environment.items()}
        if kill_at:
            env["KILL_AT"] = str(kill_at)
        done = subprocess.run([SCRIPTS / script, *map(str, arguments)], env=env, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, start_new_session=True, timeout=120)
        done.killed = done.returncode == -signal.SIGKILL
        done.calls = self.calls()
        return done

    def calls(self):
        return (self.at / "calls").read_text().replace(str(self.at), "@").splitlines()

    def text(self, output):
        return output.replace(str(self.at), "@").replace(str(SCRIPTS), "@flash")

    def arguments(self, *more, board="orin-nano", jetpack="6.2.2", without=()):
        release = {"6.2.2": "36.5.0", "7.2": "39.2.0"}.get(jetpack, "36.5.0")
        bsp, rootfs, deb = self.at / f"bsp-{release}.tbz2", self.at / "rootfs.tbz2", self.at / "egret.deb"
        pairs = [("--work", self.work), ("--board", board), ("--jetpack", jetpack), ("--bsp", bsp), ("--rootfs", rootfs), ("--deb", deb),
                 ("--sha256", f"bsp={sha256(bsp)}"), ("--sha256", f"rootfs={sha256(rootfs)}"), ("--sha256", f"deb={sha256(deb)}"),
                 ("--hostname", "cam-07"), ("--user", "keeper"), ("--ssh-key", self.at / "key.pub"), ("--sudo", "nopassword"),
                 ("--accept-nvidia-license",)]
        words = [w for p in pairs if not any(p[0] == x or " ".join(map(str, p)).startswith(x) for x in without) for w in p]
        return [*words, *more]

    def everything(self):
        return self.arguments("--egret-config", self.at / "egret.toml", "--credentials", self.at / "credentials",
                              "--power-mode", "MAXN_SUPER", "--packages", "libnvinfer10 libnvonnxparsers10")

    def provision(self, **files):
        """A provisioning set as for the Yocto image; `credentials__mqtt` is credentials/mqtt."""
        files = {"provision": "format=1\nserial=3\ndevice=gate-north\n", "egret.toml": "[mqtt]\n", "credentials__mqtt": "secret\n",
                 "certificates__ca.pem": "CA\n", "authorized_keys": "ssh-ed25519 AAAAone a\nssh-rsa AAAAtwo b\n"} | files
        listed = ""
        for name, text in sorted(files.items()):
            if text is not None:
                path = self.file(f"set/{name.replace('__', '/')}", text)
                listed += f"{sha256(path)}  {name.replace('__', '/')}\n"
        self.file("set/SHA256SUMS", listed)
        return self.at / "set"

    def tree(self, stamps=False):
        """Every path under the work folder: mode, content or target; with `stamps`, inode and time of the last change too."""
        found = {}
        for path in sorted(self.work.rglob("*")):
            info = path.lstat()
            what = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
            found[str(path.relative_to(self.work))] = (stat.S_IMODE(info.st_mode), what) + (
                (info.st_ino, info.st_mtime_ns) if stamps else ())
        return found
