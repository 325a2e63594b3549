"""Checks a network that was cut in two: cut_check.py WHOLE ENGINE TAIL
`cut_check.py make FOLDER` writes detectors with post-processing in the graph instead: nms.onnx, sizes.onnx.

Both parts pass onnx.checker (with shape inference) and run one after the other in ONNX Runtime beside the whole, without graph
optimisations and with them, at one frame and, where the batch is open, at three. Prints one JSON object: max_error and optimised_error
over all outputs (infinite where a shape or a type differs), frames, and what the parts read and make.
"""

import json
import os
import sys

import numpy as np
import onnx
import onnxruntime as ort

KINDS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}


def session(path, level):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def feeds(whole, frames):
    rng = np.random.default_rng(frames)
    made = {}
    for value in whole.get_inputs():
        shape = [frames if i == 0 and not isinstance(d, int) else d for i, d in enumerate(value.shape)]
        if KINDS[value.type] is np.int64:
            made[value.name] = rng.integers(200, 900, shape).astype(np.int64)
        else:
            made[value.name] = rng.uniform(0, 255, shape).astype(KINDS[value.type])
    return made


def run(part, values):
    names = [output.name for output in part.get_outputs()]
    values.update(zip(names, part.run(names, {value.name: values[value.name] for value in part.get_inputs()})))


def difference(sessions, frames):
    whole, engine, tail = sessions
    given = feeds(whole, frames)
    values = dict(given)
    run(engine, values)
    run(tail, values)
    worst = 0.0
    for output, expected in zip(whole.get_outputs(), whole.run(None, given)):
        found = values[output.name]
        if found.shape != expected.shape or found.dtype != expected.dtype:
            return float("inf")
        if expected.size:
            worst = max(worst, float(np.abs(found.astype(np.float64) - expected.astype(np.float64)).max()))
    return worst


def make(folder):
    from onnx import TensorProto, helper, numpy_helper

    node, value = helper.make_node, helper.make_tensor_value_info
    rng = np.random.default_rng(3)
    weights = lambda name, *shape: numpy_helper.from_array((rng.normal(size=shape) / 8).astype(np.float32), name)
    ints = lambda name, *values: numpy_helper.from_array(np.array(values, np.int64), name)
    scalar = lambda name, number: numpy_helper.from_array(np.array(number, np.int64), name)
    floats = lambda name, *values: numpy_helper.from_array(np.array(values, np.float32), name)

    def save(name, nodes, inputs, outputs, constants):
        graph = helper.make_graph(nodes, name, inputs, outputs, constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), f"{folder}/{name}.onnx")

    # The batch is read from the picture by a chain of nodes, as exporters write it. 8×8 cells, 4 numbers of a box and 3 classes each.
    head = [
        node("Conv", ["images", "w1"], ["c1"], "first", strides=[4, 4], pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"], "relu"),
        node("Conv", ["r1", "w2"], ["c2"], "second", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Shape", ["images"], ["shape"], "shape"),
        node("Gather", ["shape", "zero"], ["batch"], "batch", axis=0),
        node("Unsqueeze", ["batch", "front"], ["batch1"], "unsqueeze"),
        node("Concat", ["batch1", "seven", "cells"], ["grid"], "grid", axis=0),
        node("Reshape", ["c2", "grid"], ["table"], "table"),
        node("Transpose", ["table"], ["rows"], "rows", perm=[0, 2, 1]),
        node("Split", ["rows", "parts"], ["raw", "logits"], "split", axis=2),
        node("Exp", ["raw"], ["boxes"], "exp"),
        node("Sigmoid", ["logits"], ["scores"], "sigmoid"),
    ]
    constants = [
        weights("w1", 8, 3, 3, 3), weights("w2", 7, 8, 3, 3), scalar("zero", 0), ints("front", 0), ints("seven", 7),
        ints("cells", 64), ints("parts", 4, 3),
    ]
    images = value("images", TensorProto.FLOAT, ["batch", 3, 64, 64])
    save(
        "nms",
        head + [
            node("Transpose", ["scores"], ["by_class"], "by_class", perm=[0, 2, 1]),
            node("NonMaxSuppression", ["boxes", "by_class", "most", "overlap", "least"], ["selected"], "nms"),
            node("Gather", ["selected", "zero"], ["of"], "of", axis=1),
            node("Cast", ["of"], ["picture"], "picture", to=TensorProto.FLOAT),
        ],
        [images],
        [value("selected", TensorProto.INT64, ["found", 3]), value("picture", TensorProto.FLOAT, ["found"]),
         value("scores", TensorProto.FLOAT, ["batch", 64, 3])],
        constants + [ints("most", 20), floats("overlap", 0.5), floats("least", 0.1)],
    )
    # As RT-DETR and its family export: the best rows, scaled by the sizes of the pictures, which are a second input.
    save(
        "sizes",
        head + [
            node("Flatten", ["scores"], ["flat"], "flat", axis=1),
            node("TopK", ["flat", "ten"], ["best", "where"], "top", axis=1),
            node("Mod", ["where", "three"], ["labels"], "labels"),
            node("Div", ["where", "three"], ["row"], "row"),
            node("Unsqueeze", ["row", "last"], ["row1"], "row1"),
            node("Tile", ["row1", "four"], ["row4"], "row4"),
            node("GatherElements", ["boxes", "row4"], ["picked"], "picked", axis=1),
            node("Cast", ["sizes"], ["floats"], "floats", to=TensorProto.FLOAT),
            node("Tile", ["floats", "twice"], ["scale"], "scale"),
            node("Unsqueeze", ["scale", "middle"], ["scale1"], "scale1"),
            node("Mul", ["picked", "scale1"], ["scaled"], "scaled"),
        ],
        [images, value("sizes", TensorProto.INT64, ["batch", 2])],
        [value("labels", TensorProto.INT64, ["batch", 10]), value("scaled", TensorProto.FLOAT, ["batch", 10, 4]),
         value("best", TensorProto.FLOAT, ["batch", 10])],
        constants + [ints("ten", 10), scalar("three", 3), ints("last", 2), ints("middle", 1), ints("four", 1, 1, 4), ints("twice", 1, 2)],
    )


def main():
    if sys.argv[1] == "make":
        return make(sys.argv[2])
    paths = sys.argv[1:4]
    for path in paths:
        onnx.checker.check_model(onnx.load(path), full_check=True)
    plain = [session(path, ort.GraphOptimizationLevel.ORT_DISABLE_ALL) for path in paths]
    usual = [session(path, ort.GraphOptimizationLevel.ORT_ENABLE_ALL) for path in paths]
    frames = [1] if isinstance(plain[0].get_inputs()[0].shape[0], int) else [1, 3]
    names = lambda values: [value.name for value in values]
    print(json.dumps({
        "max_error": max(difference(plain, n) for n in frames), "optimised_error": max(difference(usual, n) for n in frames),
        "frames": frames, "sizes": [os.path.getsize(path) for path in paths],
        "engine": [names(plain[1].get_inputs()), names(plain[1].get_outputs())],
        "tail": [names(plain[2].get_inputs()), names(plain[2].get_outputs())],
    }))


main()
