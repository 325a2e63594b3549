"""Checks ONNX files with onnx.checker and runs them in ONNX Runtime beside the float network: onnx_check.py FLOAT OTHER... [PICTURE.jpg]
`onnx_check.py old PATH` writes a small graph of operator set 11 instead.

Prints one JSON object per OTHER: max_error and rms_error of the first output against FLOAT's on the picture, else on the same seeded blocks of colour,
rms of FLOAT's output, element types of the weights, and of the input and the output.
"""

import collections
import json
import sys

import numpy as np
import onnx
import onnxruntime as ort


def picture(path, shape):
    """A picture as YOLOX's own preprocessing feeds it: BGR, scaled to fit at the top left, padded with 114."""
    import cv2

    image = cv2.imread(path)
    scale = min(shape[2] / image.shape[0], shape[3] / image.shape[1])
    size = (int(image.shape[1] * scale), int(image.shape[0] * scale))
    out = np.full((shape[2], shape[3], 3), 114, np.uint8)
    out[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return out.transpose(2, 0, 1)[None].astype(np.float32)


def run(path, feed):
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    shape = [d if isinstance(d, int) else 1 for d in session.get_inputs()[0].shape]
    if isinstance(feed, str):
        feed = picture(feed, shape)
    if feed is None:
        rng = np.random.default_rng(7)
        # Smooth, as pictures are: noise at an eighth of the size, enlarged.
        small = rng.uniform(0, 255, (*shape[:2], shape[2] // 8, shape[3] // 8))
        feed = np.repeat(np.repeat(small, 8, axis=2), 8, axis=3).astype(np.float32)
    kind = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}[session.get_inputs()[0].type]
    return feed, session.run(None, {session.get_inputs()[0].name: feed.astype(kind)})[0].astype(np.float64)


def old(path):
    """A graph of operator set 11 with everything that changed until 13: axes and splits as attributes, softmax over matrices."""
    from onnx import TensorProto, helper, numpy_helper

    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("Split", ["c"], ["a", "b"], axis=1, split=[3, 5]),
        node("Softmax", ["b"], ["s"], axis=2),
        node("Softmax", ["a"], ["t"]),
        node("LogSoftmax", ["a"], ["l"], axis=-1),
        node("ReduceSum", ["s"], ["r"], axes=[1], keepdims=1),
        node("Squeeze", ["r"], ["q"], axes=[1]),
        node("Unsqueeze", ["q"], ["u"], axes=[1]),
        node("Dropout", ["t"], ["d"], ratio=0.5),
        node("Concat", ["u", "d", "l", "s"], ["y"], axis=1),
    ]
    weights = np.random.default_rng(3).normal(size=(8, 3, 3, 3)).astype(np.float32) / 255
    value = lambda name, channels: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 32, 64])
    graph = helper.make_graph(nodes, "old", [value("x", 3)], [value("y", 12)], [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), path)


def main():
    if sys.argv[1] == "old":
        return old(sys.argv[2])
    files = [argument for argument in sys.argv[1:] if not argument.endswith(".jpg")]
    feed, reference = run(files[0], next((a for a in sys.argv if a.endswith(".jpg")), None))
    for path in files[1:]:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        _, output = run(path, feed)
        difference = np.abs(output - reference)
        name = onnx.TensorProto.DataType.Name
        kinds = collections.Counter(name(t.data_type) for t in model.graph.initializer)
        value = lambda v: name(v.type.tensor_type.elem_type)
        print(json.dumps({
            "max_error": difference.max(), "rms_error": float(np.sqrt((difference**2).mean())), "rms": float(np.sqrt((reference**2).mean())),
            "weights": kinds, "input": value(model.graph.input[0]), "output": value(model.graph.output[0]),
            "opset": model.opset_import[0].version, "metadata": {p.key: p.value for p in model.metadata_props},
        }))


main()
