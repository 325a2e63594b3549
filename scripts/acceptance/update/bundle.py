#!/usr/bin/env python3
"""A bundle as `bitbake egret-update-bundle` makes it: by the functions of meta-swupdate's own class, from the layer's own files.

bundle.py META-SWUPDATE FOLDER MACHINE CERTIFICATE KEY OUTPUT

FOLDER holds what do_deploy leaves: the root file system's archive and tegra-bl.cap; it becomes the recipe's work folder. EGRET_SIGN=0: no
signature. EGRET_KEEP=1: list and signature are those of the call before, whatever the files are now.
"""

import os
import re
import shutil
import sys
import types
from pathlib import Path

LAYER = Path(__file__).resolve().parents[3] / "yocto/meta-egret"
RECIPE = LAYER / "dynamic-layers/swupdate/recipes-egret/egret-update-bundle/egret-update-bundle_1.0.bb"


def fatal(*said):
    raise SystemExit(" ".join(map(str, said)))


class Data(dict):
    """As much of BitBake's data store as the class asks."""

    def getVar(self, name, _expand=True):
        return self.get(name)

    def getVarFlag(self, _name, _flag, _expand=True):
        return None


def functions(*classes):
    """The plain functions of these class files, in one namespace."""
    quiet = lambda *_: None
    space = {"os": os, "bb": types.SimpleNamespace(note=quiet, debug=quiet, warn=fatal, fatal=fatal)}
    for path in classes:
        for one in re.findall(r"^def .*?(?=^\S)", path.read_text() + "\nEND", re.M | re.S):
            exec(compile(one, str(path), "exec"), space)
    return space


def main(meta, folder, machine, certificate, key, output):
    folder, output = Path(folder).resolve(), Path(output).resolve()
    of = functions(meta / "classes-recipe/swupdate-lib.bbclass", meta / "classes-recipe/swupdate-common.bbclass")
    recipe = RECIPE.read_text()
    rootfs = re.search(r'^EGRET_ROOTFS = "(.*)"', recipe, re.M).group(1).replace("${MACHINE}", machine)
    images = re.search(r'^SWUPDATE_IMAGES = "(.*)"', recipe, re.M).group(1).replace("${EGRET_ROOTFS}", rootfs).split()
    sources = re.findall(r"file://(?!\$)(\S+)", recipe.split("SRC_URI")[1])
    version = re.search(r'^DISTRO_VERSION = "(.*)"', (LAYER / "conf/distro/egret-appliance.conf").read_text(), re.M).group(1)
    data = Data(
        S=str(RECIPE.parent / "files"), WORKDIR=str(folder), MACHINE=machine, EGRET_ROOTFS=rootfs, DISTRO_VERSION=version,
        SWUPDATE_SIGNING="CMS" if os.environ.get("EGRET_SIGN") != "0" else None, SWUPDATE_CMS_CERT=certificate, SWUPDATE_CMS_KEY=key,
        IMAGE_NAME=output.stem,
    )
    # As do_swuimage lists them.
    listed = ["sw-description"]
    if data.getVar("SWUPDATE_SIGNING"):
        listed.append("sw-description.sig")
    for name in sources:
        if name != "sw-description":
            if os.environ.get("EGRET_KEEP") != "1":
                shutil.copyfile(RECIPE.parent / "files" / name, folder / name)
            listed.append(name)
    listed += images
    if os.environ.get("EGRET_KEEP") != "1":
        of["prepare_sw_description"](data)
    of["swupdate_create_cpio"](data, str(output.parent), listed)


if len(sys.argv) != 7:
    fatal(__doc__)
main(Path(sys.argv[1]).resolve(), *sys.argv[2:])
