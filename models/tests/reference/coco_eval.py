#!/usr/bin/env python3
"""pycocotools over cases from standard input; its figures to standard output. What egret's average precision is compared with.

In:  [{"images": [ID, ...], "categories": [ID, ...], "annotations": [COCO annotation, ...], "results": [COCO result, ...]}, ...]
Out: [[the twelve figures of COCOeval.summarize()], ...]
"""

import contextlib
import io
import json
import sys

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def figures(case):
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": i} for i in case["images"]],
        "categories": [{"id": i, "name": str(i)} for i in case["categories"]],
        "annotations": case["annotations"],
    }
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(case["results"]), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(v) for v in evaluation.stats]


def main():
    with contextlib.redirect_stdout(io.StringIO()):
        answer = [figures(case) for case in json.load(sys.stdin)]
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
