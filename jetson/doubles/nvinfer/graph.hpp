// The networks that the double knows: floats, a handful of operators, evaluated plainly. Numbers are what ONNX defines.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace egret_double {

using Shape = std::vector<int64_t>;

inline int64_t volume(Shape const& shape) {
    int64_t v = 1;
    for (int64_t d : shape) {
        v *= d;
    }
    return v;
}

struct Constant {
    Shape shape;
    std::vector<float> values;
};

struct Node {
    std::string name, op, output;
    std::vector<std::string> inputs;
    std::map<std::string, std::vector<int64_t>> ints;

    std::vector<int64_t> attribute(char const* key, std::vector<int64_t> otherwise) const {
        auto const found = ints.find(key);
        return found == ints.end() ? otherwise : found->second;
    }
};

struct Graph {
    std::vector<std::pair<std::string, Shape>> inputs;   // -1 where dynamic
    std::vector<std::string> outputs;
    std::map<std::string, Constant> constants;
    std::vector<Node> nodes;
};

inline bool is_pointwise(std::string const& op) { return op == "Relu" || op == "Sigmoid" || op == "Identity"; }
inline bool is_elementwise(std::string const& op) { return op == "Add" || op == "Sub" || op == "Mul"; }
inline bool is_known(std::string const& op) { return is_pointwise(op) || is_elementwise(op) || op == "Conv"; }

// What the parser has against one node, found while shapes are followed.
class Unsupported : public std::invalid_argument {
public:
    Unsupported(size_t at, char const* reason) : std::invalid_argument{reason}, node{at} {}
    size_t node;
};

// NumPy's broadcasting; -1 stays -1 unless the other says more.
inline Shape broadcast(Shape const& a, Shape const& b) {
    Shape out(std::max(a.size(), b.size()), 1);
    auto const at = [&](Shape const& s, size_t i) { return i + s.size() < out.size() ? 1 : s[i + s.size() - out.size()]; };
    for (size_t i = 0; i < out.size(); ++i) {
        int64_t const x = at(a, i), y = at(b, i);
        if (x != y && x != 1 && y != 1 && x != -1 && y != -1) {
            throw std::invalid_argument("shapes cannot be broadcast");
        }
        out[i] = x == 1 ? y : (y == 1 || x != -1 ? x : y);
    }
    return out;
}

struct Conv {
    Shape in, weights, out;
    std::vector<int64_t> pads, strides;
};

inline Conv conv_of(Node const& node, Shape const& in, Shape const& weights) {
    if (in.size() != 4 || weights.size() != 4 || (in[1] != -1 && in[1] != weights[1]) || node.attribute("group", {1}) != std::vector<int64_t>{1}
        || node.attribute("dilations", {1, 1}) != std::vector<int64_t>({1, 1})) {
        throw std::invalid_argument("only dense two-dimensional convolutions");
    }
    Conv conv{in, weights, {in[0], weights[0], -1, -1}, node.attribute("pads", {0, 0, 0, 0}), node.attribute("strides", {1, 1})};
    for (size_t i = 0; i < 2; ++i) {
        if (in[2 + i] != -1) {
            conv.out[2 + i] = (in[2 + i] + conv.pads[i] + conv.pads[2 + i] - weights[2 + i]) / conv.strides[i] + 1;
        }
    }
    return conv;
}

inline Shape output_shape(Node const& node, std::vector<Shape> const& in) {
    size_t const needed = is_pointwise(node.op) ? 1 : 2;
    if (in.size() < needed) {
        throw std::invalid_argument("too few inputs");
    }
    if (is_pointwise(node.op)) {
        return in[0];
    }
    return is_elementwise(node.op) ? broadcast(in[0], in[1]) : conv_of(node, in[0], in[1]).out;
}

// The shapes of all tensors, given those of the inputs.
inline std::map<std::string, Shape> infer(Graph const& graph, std::vector<std::pair<std::string, Shape>> const& inputs) {
    std::map<std::string, Shape> shapes(inputs.begin(), inputs.end());
    for (auto const& constant : graph.constants) {
        shapes[constant.first] = constant.second.shape;
    }
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
        auto const& node = graph.nodes[i];
        std::vector<Shape> in;
        for (auto const& name : node.inputs) {
            auto const found = shapes.find(name);
            if (found == shapes.end()) {
                throw std::invalid_argument("tensor " + name + " comes from nowhere");
            }
            in.push_back(found->second);
        }
        try {
            shapes[node.output] = output_shape(node, in);
        } catch (std::invalid_argument const& error) {
            throw Unsupported{i, error.what()};
        }
    }
    return shapes;
}

inline float element(std::vector<float> const& values, Shape const& shape, Shape const& out, int64_t index) {
    int64_t offset = 0, stride = 1;
    for (size_t i = out.size(); i-- > 0; index /= out[i]) {
        if (i + shape.size() >= out.size()) {
            int64_t const d = shape[i + shape.size() - out.size()];
            offset += (d == 1 ? 0 : index % out[i]) * stride;
            stride *= d;
        }
    }
    return values[static_cast<size_t>(offset)];
}

inline std::vector<float> convolve(Conv const& c, std::vector<float> const& x, std::vector<float> const& w, std::vector<float> const* bias) {
    std::vector<float> y(static_cast<size_t>(volume(c.out)));
    size_t at = 0;
    for (int64_t n = 0; n < c.out[0]; ++n)
    for (int64_t m = 0; m < c.out[1]; ++m)
    for (int64_t row = 0; row < c.out[2]; ++row)
    for (int64_t column = 0; column < c.out[3]; ++column) {
        float sum = bias != nullptr ? (*bias)[static_cast<size_t>(m)] : 0.0F;
        for (int64_t k = 0; k < c.weights[1]; ++k)
        for (int64_t i = 0; i < c.weights[2]; ++i)
        for (int64_t j = 0; j < c.weights[3]; ++j) {
            int64_t const r = row * c.strides[0] + i - c.pads[0], q = column * c.strides[1] + j - c.pads[1];
            if (r >= 0 && r < c.in[2] && q >= 0 && q < c.in[3]) {
                sum += x[static_cast<size_t>(((n * c.in[1] + k) * c.in[2] + r) * c.in[3] + q)]
                    * w[static_cast<size_t>(((m * c.weights[1] + k) * c.weights[2] + i) * c.weights[3] + j)];
            }
        }
        y[at++] = sum;
    }
    return y;
}

inline Constant run_node(Node const& node, std::vector<Constant const*> const& in, Shape const& out) {
    Constant y{out, {}};
    if (node.op == "Conv") {
        auto const conv = conv_of(node, in[0]->shape, in[1]->shape);
        y.values = convolve(conv, in[0]->values, in[1]->values, in.size() > 2 ? &in[2]->values : nullptr);
        return y;
    }
    y.values.resize(static_cast<size_t>(volume(out)));
    for (int64_t i = 0; i < volume(out); ++i) {
        float const a = element(in[0]->values, in[0]->shape, out, i);
        float const b = is_elementwise(node.op) ? element(in[1]->values, in[1]->shape, out, i) : 0.0F;
        float& result = y.values[static_cast<size_t>(i)];
        if (node.op == "Relu") result = a > 0.0F ? a : 0.0F;
        else if (node.op == "Sigmoid") result = 1.0F / (1.0F + std::exp(-a));
        else if (node.op == "Add") result = a + b;
        else if (node.op == "Sub") result = a - b;
        else if (node.op == "Mul") result = a * b;
        else result = a;
    }
    return y;
}

// All tensors' values, given the inputs'.
inline std::map<std::string, Constant> evaluate(Graph const& graph, std::map<std::string, Constant> values) {
    std::vector<std::pair<std::string, Shape>> inputs;
    for (auto const& input : graph.inputs) {
        inputs.emplace_back(input.first, values.at(input.first).shape);
    }
    auto const shapes = infer(graph, inputs);
    values.insert(graph.constants.begin(), graph.constants.end());
    for (auto const& node : graph.nodes) {
        std::vector<Constant const*> in;
        for (auto const& name : node.inputs) {
            in.push_back(&values.at(name));
        }
        values[node.output] = run_node(node, in, shapes.at(node.output));
    }
    return values;
}

}   // namespace egret_double
