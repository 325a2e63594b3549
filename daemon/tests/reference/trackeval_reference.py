"""TrackEval's figures of tracking results, to compare egret's with.

usage: trackeval_reference.py (SEQUENCES RESULTS BENCHMARK)...

SEQUENCES is a folder of sequences (SEQ/gt/gt.txt, SEQ/seqinfo.ini with seqLength), RESULTS a path in which {} stands for the sequence,
BENCHMARK one of MOT15, MOT17, MOT20. Prints a JSON list with an object for each three arguments: per sequence, and for COMBINED, the
figures by the names that `egret track-eval --json` gives them; shares in percent. Exits 77 where there is no TrackEval.
"""

import contextlib
import io
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

# TrackEval tells on its standard output which of its optional parts are missing.
with contextlib.redirect_stdout(io.StringIO()):
    try:
        import trackeval
    except ModuleNotFoundError as missing:
        print(missing, file=sys.stderr)
        sys.exit(77)

SHARES = {
    "HOTA": ("HOTA", "DetA", "AssA", "LocA"),
    "CLEAR": ("MOTA", "MOTP"),
    "Identity": ("IDF1", "IDP", "IDR"),
}
COUNTS = {"IDSW": "IDSW", "Frag": "Frag", "TP": "CLR_TP", "FP": "CLR_FP", "FN": "CLR_FN", "MT": "MT", "PT": "PT", "ML": "ML"}


def figures(results):
    row = {name: float(100 * np.mean(results[metric][name])) for metric, names in SHARES.items() for name in names}
    row.update({ours: int(results["CLEAR"][theirs]) for ours, theirs in COUNTS.items()})
    return row


def judge(sequences, results, benchmark):
    names = sorted(folder.name for folder in Path(sequences).iterdir() if (folder / "gt" / "gt.txt").is_file())
    with tempfile.TemporaryDirectory() as trackers:
        data = Path(trackers, "it", "data")
        data.mkdir(parents=True)
        for name in names:
            shutil.copy(results.replace("{}", name), data / f"{name}.txt")
        dataset = trackeval.datasets.MotChallenge2DBox(
            {
                "GT_FOLDER": str(sequences),
                "TRACKERS_FOLDER": trackers,
                "TRACKERS_TO_EVAL": ["it"],
                "BENCHMARK": benchmark,
                "SEQ_INFO": {name: None for name in names},
                "SKIP_SPLIT_FOL": True,
                "PRINT_CONFIG": False,
            }
        )
        config = {"METRICS": ["HOTA", "CLEAR", "Identity"], "THRESHOLD": 0.5, "PRINT_CONFIG": False}
        metrics = [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(config), trackeval.metrics.Identity(config)]
        found = {}
        for name in names:
            scene = dataset.get_preprocessed_seq_data(dataset.get_raw_seq_data("it", name), "pedestrian")
            found[name] = {metric.get_name(): metric.eval_sequence(scene) for metric in metrics}
        combined = {
            metric.get_name(): metric.combine_sequences({name: found[name][metric.get_name()] for name in names})
            for metric in metrics
        }
    return {**{name: figures(found[name]) for name in names}, "COMBINED": figures(combined)}


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        tables = [judge(*sys.argv[at : at + 3]) for at in range(1, len(sys.argv), 3)]
    json.dump(tables, sys.stdout)
