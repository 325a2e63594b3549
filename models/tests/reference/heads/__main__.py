#!/usr/bin/env python3
"""The published post-processing of each family of detectors, plainly in numpy: what the heads of egret-models are compared with.

For each family outputs of the exact shape of its export are made from seeded objects and noise, in float32. They are read the way
the family's own code reads them (named at each function), and both go into a folder:

  index.json   cases: parameters, shapes, and what the reference found on each picture
  tensors.f32  all outputs, little-endian
  masks.bits   instance masks of the whole input, one bit per pixel, lowest bit first

  python heads FOLDER

Needs numpy alone.
"""

import json
import pathlib
import sys

import numpy as np

from detr import detr
from final import efficient_nms, end_to_end
from grids import detectnet, nanodet, picodet
from instances import obb, pose, segment
from ssd import ssd
from yolo import yolov5, yolov8, yolox


class Out:
    def __init__(self, folder):
        self.folder, self.cases, self.at = folder, [], 0
        self.tensors, self.masks = open(folder / "tensors.f32", "wb"), open(folder / "masks.bits", "wb")

    def case(self, head, spec, size, classes, outputs, found, **thresholds):
        """outputs: {name: [picture, ...]}"""
        listed = []
        for name, pictures in outputs.items():
            data = np.stack(pictures).astype("<f4")
            listed.append({"name": name, "shape": list(data.shape), "offset": self.at})
            self.tensors.write(data.tobytes())
            self.at += data.size
        entry = {"head": head, "spec": spec, "width": size[0], "height": size[1], "classes": classes, "outputs": listed}
        entry.update(confidence=0.25, iou=0.45, class_agnostic=False, candidates=30000, detections=300)
        entry.update(thresholds, found=found)
        self.cases.append(entry)

    def mask(self, covered):
        """bool[H,W] -> its place among the masks, in bytes"""
        place = self.masks.tell()
        self.masks.write(np.packbits(covered.ravel(), bitorder="little").tobytes())
        return place

    def close(self):
        self.tensors.close()
        self.masks.close()
        (self.folder / "index.json").write_text(json.dumps({"numpy": np.__version__, "cases": self.cases}))


def main():
    folder = pathlib.Path(sys.argv[1])
    out = Out(folder)
    for family in (
        yolox, yolov5, yolov8, end_to_end, efficient_nms, ssd, detr, nanodet, picodet, detectnet, obb, pose, segment,
    ):
        family(out)
    out.close()


if __name__ == "__main__":
    main()
