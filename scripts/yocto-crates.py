#!/usr/bin/env python3
"""Writes the crates that the Yocto recipe fetches, from Cargo.lock.

    scripts/yocto-crates.py          writes yocto/meta-egret/recipes-egret/egret/egret-crates.inc
    scripts/yocto-crates.py --check  ends with 1 where that file says something else than Cargo.lock
    scripts/yocto-crates.py --licences  the licences of what a device build links in, as the recipe's LICENSE has to name them
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LIST = TOP / "yocto/meta-egret/recipes-egret/egret/egret-crates.inc"
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def crates(lock: str) -> list[tuple[str, str, str]]:
    """Name, version and sha256 of every package that comes from the registry."""
    found = []
    for package in tomllib.loads(lock)["package"]:
        name, source = package["name"], package.get("source")
        if source is None:
            continue  # a member of the workspace
        if source != REGISTRY:
            raise SystemExit(f"yocto-crates: {name} comes from {source}: the recipe knows the registry only")
        found.append((name, package["version"], package["checksum"]))
    return sorted(found)


def render(found: list[tuple[str, str, str]]) -> str:
    """The file: what to fetch, and what it has to be."""
    lines = ["# Written by scripts/yocto-crates.py from Cargo.lock.", "", 'SRC_URI += "\\']
    lines += [f"    crate://crates.io/{name}/{version} \\" for name, version, _ in found]
    lines += ['"', ""]
    lines += [f'SRC_URI[{name}-{version}.sha256sum] = "{digest}"' for name, version, digest in found]
    return "\n".join(lines) + "\n"


def choose(expression: str) -> set[str]:
    """Of a crate's licences those that it is used under: MIT or Apache-2.0 where it leaves the choice."""
    chosen = set()
    for part in re.split(r" AND ", expression.replace("/", " OR ")):
        options = [option.strip("() ") for option in re.split(r" OR ", part)]
        chosen.add(next((option for option in ("MIT", "Apache-2.0") if option in options), options[0]))
    return chosen


def licences() -> set[str]:
    """Those of egret and of every crate that a device build links in."""
    tree = "cargo tree --locked -p egret --no-default-features --features tensorrt -e normal --target aarch64-unknown-linux-gnu --prefix none"
    told = subprocess.run([*tree.split(), "--format", "{l}"], cwd=TOP, check=True, capture_output=True, text=True).stdout
    return set().union(*(choose(line.removesuffix(" (*)")) for line in told.splitlines()))


def main(arguments: list[str]) -> int:
    text = render(crates((TOP / "Cargo.lock").read_text()))
    if arguments == ["--check"]:
        if LIST.read_text() != text:
            print("yocto-crates: egret-crates.inc is not what Cargo.lock says: run scripts/yocto-crates.py", file=sys.stderr)
            return 1
        return 0
    if arguments == ["--licences"]:
        print(" & ".join(sorted(licences())))
        return 0
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    LIST.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
