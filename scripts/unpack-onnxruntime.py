#!/usr/bin/env python3
"""Takes ONNX Runtime's shared library and its licences out of a wheel: unpack-onnxruntime.py WHEEL FOLDER"""

import pathlib
import sys
import zipfile

wheel, folder = sys.argv[1], pathlib.Path(sys.argv[2])
folder.mkdir(exist_ok=True)
with zipfile.ZipFile(wheel) as archive:
    names = archive.namelist()
    [library] = [n for n in names if n.startswith("onnxruntime/capi/libonnxruntime.so.")]
    for name in [library, "onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt"]:
        # Replaced in one step: another process may have the old library mapped.
        fresh = folder / ("." + pathlib.PurePosixPath(name).name)
        fresh.write_bytes(archive.read(name))
        fresh.rename(folder / fresh.name[1:])
link = folder / ".link"
link.unlink(missing_ok=True)
link.symlink_to(pathlib.PurePosixPath(library).name)
link.rename(folder / "libonnxruntime.so")
