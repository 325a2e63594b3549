"""The street detector: a small plain convolutional network with YOLOX's head layout, and its ONNX form."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

IN_W, IN_H = 448, 256
STRIDES = (8, 16, 32)
CLASSES = 3
STEM, C4, C8, C16, C32, HEAD = 12, 24, 40, 72, 96, 40


class Unit(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, cin, cout, k=3, s=1):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, k, s, k // 2, bias=False)
        self.bn = nn.BatchNorm2d(cout, momentum=0.03)

    def forward(self, x):
        return torch.relu_(self.bn(self.conv(x)))


class Street(nn.Module):
    """f32 [N,3,256,448], B, G, R of 0..255 -> one tensor [N,8,h,w] per stride: x, y, w, h, objectness, 3 classes (logits)."""

    def __init__(self):
        super().__init__()
        self.stem = Unit(3, STEM, 3, 2)
        self.d4 = Unit(STEM, C4, 3, 2)
        self.d8 = Unit(C4, C8, 3, 2)
        self.b8a, self.b8b = Unit(C8, C8), Unit(C8, C8)
        self.d16 = Unit(C8, C16, 3, 2)
        self.b16a, self.b16b = Unit(C16, C16), Unit(C16, C16)
        self.d32 = Unit(C16, C32, 3, 2)
        self.b32a, self.b32b = Unit(C32, C32), Unit(C32, C32)
        self.l32, self.n16 = Unit(C32, C16, 1), Unit(C16, C16)
        self.l16, self.n8 = Unit(C16, C8, 1), Unit(C8, C8)
        widths = (C8, C16, C32)
        self.lat = nn.ModuleList(Unit(w, HEAD, 1) for w in widths)
        self.reg = nn.ModuleList(Unit(HEAD, HEAD) for _ in widths)
        self.cls = nn.ModuleList(Unit(HEAD, 32) for _ in widths)
        self.out_reg = nn.ModuleList(nn.Conv2d(HEAD, 5, 1) for _ in widths)
        self.out_cls = nn.ModuleList(nn.Conv2d(32, CLASSES, 1) for _ in widths)
        for conv in [*self.out_reg, *self.out_cls]:
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.constant_(conv.bias, -4.0)
        for conv in self.out_reg:
            nn.init.zeros_(conv.bias.data[:4])

    def forward(self, x):
        x = self.d4(self.stem(x / 255.0))
        x = self.d8(x)
        p8 = x + self.b8b(self.b8a(x))
        x = self.d16(p8)
        p16 = x + self.b16b(self.b16a(x))
        x = self.d32(p16)
        p32 = x + self.b32b(self.b32a(x))
        up = nn.functional.interpolate
        p16 = self.n16(p16 + up(self.l32(p32), scale_factor=2, mode="nearest"))
        p8 = self.n8(p8 + up(self.l16(p16), scale_factor=2, mode="nearest"))
        outs = []
        for i, p in enumerate((p8, p16, p32)):
            t = self.lat[i](p)
            outs.append(torch.cat([self.out_reg[i](self.reg[i](t)), self.out_cls[i](self.cls[i](t))], 1))
        return outs


class _Graph:
    def __init__(self):
        self.nodes, self.weights, self.count = [], [], 0

    def const(self, value):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, op, inputs, output=None, **attributes):
        self.count += 1
        output = output or f"{op.lower()}{self.count}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def conv(self, x, weight, bias, stride=1):
        k = weight.shape[-1]
        inputs = [x, self.const(weight.astype(np.float32)), self.const(bias.astype(np.float32))]
        return self.add("Conv", inputs, kernel_shape=[k, k], strides=[stride] * 2, pads=[k // 2] * 4)

    def unit(self, x, unit, gain=1.0):
        """A Unit with its batch normalisation folded into the convolution."""
        bn = unit.bn
        scale = (bn.weight / torch.sqrt(bn.running_var + bn.eps)).double()
        weight = unit.conv.weight.double() * scale[:, None, None, None] * gain
        bias = bn.bias.double() - bn.running_mean.double() * scale
        return self.add("Relu", [self.conv(x, weight.numpy(), bias.numpy(), unit.conv.stride[0])])

    def double(self, x):
        scales = self.const(np.array([1, 1, 2, 2], np.float32))
        return self.add("Resize", [x, "", scales], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")


@torch.no_grad()
def export(net, path, note):
    """Writes ONNX (opset 13): `images` f32 [N,3,256,448] -> `output` f32 [N,2352,8], objectness and classes already sigmoid."""
    net = net.eval()
    g = _Graph()
    x = g.unit("images", net.stem, 1.0 / 255.0)
    x = g.unit(g.unit(x, net.d4), net.d8)
    p8 = g.add("Add", [x, g.unit(g.unit(x, net.b8a), net.b8b)])
    x = g.unit(p8, net.d16)
    p16 = g.add("Add", [x, g.unit(g.unit(x, net.b16a), net.b16b)])
    x = g.unit(p16, net.d32)
    p32 = g.add("Add", [x, g.unit(g.unit(x, net.b32a), net.b32b)])
    p16 = g.unit(g.add("Add", [p16, g.double(g.unit(p32, net.l32))]), net.n16)
    p8 = g.unit(g.add("Add", [p8, g.double(g.unit(p16, net.l16))]), net.n8)
    flat = []
    for i, p in enumerate((p8, p16, p32)):
        t = g.unit(p, net.lat[i])
        r, c = g.unit(t, net.reg[i]), g.unit(t, net.cls[i])
        w, b = net.out_reg[i].weight.numpy(), net.out_reg[i].bias.numpy()
        box = g.conv(r, w[:4], b[:4])
        obj = g.add("Sigmoid", [g.conv(r, w[4:], b[4:])])
        cls = g.add("Sigmoid", [g.conv(c, net.out_cls[i].weight.numpy(), net.out_cls[i].bias.numpy())])
        level = g.add("Concat", [box, obj, cls], axis=1)
        flat.append(g.add("Reshape", [level, g.const(np.array([0, 5 + CLASSES, -1], np.int64))]))
    g.add("Transpose", [g.add("Concat", flat, axis=2)], "output", perm=[0, 2, 1])
    anchors = sum(IN_W // s * (IN_H // s) for s in STRIDES)
    graph = helper.make_graph(
        g.nodes,
        "street",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, IN_H, IN_W])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", anchors, 5 + CLASSES])],
        g.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="egret models/street", ir_version=8)
    model.doc_string = note
    helper.set_model_props(model, {"names": "person,bicycle,car", "licence": "Apache-2.0"})
    onnx.checker.check_model(model)
    onnx.save(model, path)
