// As much of ONNX (onnx.proto3) as the double's networks need, from the bytes.
#pragma once

#include "graph.hpp"

#include <cstring>
#include <functional>
#include <set>

namespace egret_double {

// What is wrong with a network: nvonnxparser::ErrorCode by number, and where.
struct Complaint {
    int code;
    int node;
    std::string reason, name, op;
};

class Malformed : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Bytes {
    unsigned char const* at;
    unsigned char const* end;
};

inline uint64_t varint(Bytes& in) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (in.at == in.end) {
            throw Malformed("the protobuf is cut off");
        }
        unsigned char const byte = *in.at++;
        value |= static_cast<uint64_t>(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) {
            return value;
        }
    }
    throw Malformed("a protobuf number is too long");
}

// Calls `take(field, wire, number, bytes)` for each field.
inline void fields(Bytes in, std::function<void(uint64_t, uint64_t, Bytes)> const& take) {
    while (in.at < in.end) {
        uint64_t const key = varint(in);
        Bytes inner{in.at, in.at};
        uint64_t number = 0;
        auto const skip = [&](uint64_t size) {
            if (size > static_cast<uint64_t>(in.end - in.at)) {
                throw Malformed("the protobuf is cut off");
            }
            inner = {in.at, in.at + size};
            in.at += size;
        };
        switch (key & 7) {
        case 0: number = varint(in); break;
        case 1: skip(8); break;
        case 2: skip(varint(in)); break;
        case 5: skip(4); break;
        default: throw Malformed("not a protobuf");
        }
        if (key >> 3 == 0) {
            throw Malformed("not a protobuf");
        }
        take(key >> 3, number, inner);
    }
}

inline std::string text(Bytes in) { return {in.at, in.end}; }

inline void integers(Bytes in, uint64_t number, std::vector<int64_t>& out) {
    if (in.at == in.end) {
        out.push_back(static_cast<int64_t>(number));
    }
    while (in.at < in.end) {
        out.push_back(static_cast<int64_t>(varint(in)));
    }
}

// Tensors of something else than floats. Whatever reads one is complained of.
using Others = std::set<std::string>;

inline std::pair<std::string, Constant> tensor(Bytes in, Others& others, std::vector<Complaint>& complaints) {
    std::string name;
    Constant constant;
    uint64_t type = 0;
    auto const floats = [&](Bytes raw) {
        constant.values.resize(static_cast<size_t>(raw.end - raw.at) / sizeof(float));
        std::memcpy(constant.values.data(), raw.at, constant.values.size() * sizeof(float));
    };
    fields(in, [&](uint64_t field, uint64_t number, Bytes inner) {
        switch (field) {
        case 1: integers(inner, number, constant.shape); break;
        case 2: type = number; break;
        case 4: case 9: floats(inner); break;
        case 8: name = text(inner); break;
        default: break;
        }
    });
    if (type != 1) {
        others.insert(name);
    } else if (volume(constant.shape) != static_cast<int64_t>(constant.values.size())) {
        complaints.push_back({11, -1, "initializer " + name + " has another size than its shape", "", ""});
    }
    return {name, constant};
}

inline std::pair<std::string, Shape> value_info(Bytes in, Others& others) {
    std::string name;
    Shape shape;
    uint64_t type = 0;
    auto const dimension = [&](Bytes inner) {
        int64_t d = -1;
        fields(inner, [&](uint64_t field, uint64_t number, Bytes) { d = field == 1 ? static_cast<int64_t>(number) : d; });
        shape.push_back(d);
    };
    auto const tensor_type = [&](uint64_t field, uint64_t number, Bytes inner) {
        if (field == 1) {
            type = number;
        } else if (field == 2) {
            fields(inner, [&](uint64_t, uint64_t, Bytes dim) { dimension(dim); });
        }
    };
    fields(in, [&](uint64_t field, uint64_t, Bytes inner) {
        if (field == 1) {
            name = text(inner);
        } else if (field == 2) {
            fields(inner, [&](uint64_t, uint64_t, Bytes t) { fields(t, tensor_type); });
        }
    });
    if (type != 1) {
        others.insert(name);
    }
    return {name, shape};
}

inline Node node_of(Bytes in) {
    Node node;
    auto const attribute = [&](Bytes inner) {
        std::string name;
        std::vector<int64_t> ints;
        fields(inner, [&](uint64_t field, uint64_t number, Bytes value) {
            if (field == 1) {
                name = text(value);
            } else if (field == 3 || field == 8) {
                integers(value, number, ints);
            }
        });
        node.ints[name] = ints;
    };
    fields(in, [&](uint64_t field, uint64_t, Bytes inner) {
        switch (field) {
        case 1: node.inputs.push_back(text(inner)); break;
        case 2: node.output = text(inner); break;
        case 3: node.name = text(inner); break;
        case 4: node.op = text(inner); break;
        case 5: attribute(inner); break;
        default: break;
        }
    });
    return node;
}

// Reads a network. Whatever the double does not know becomes a complaint.
inline Graph read_onnx(void const* data, size_t size, std::vector<Complaint>& complaints) {
    Graph graph;
    bool has_graph = false;
    Others others;
    auto const* begin = static_cast<unsigned char const*>(data);
    auto const part = [&](uint64_t field, uint64_t, Bytes inner) {
        switch (field) {
        case 1: graph.nodes.push_back(node_of(inner)); break;
        case 5: graph.constants.insert(tensor(inner, others, complaints)); break;
        case 11: graph.inputs.push_back(value_info(inner, others)); break;
        case 12: graph.outputs.push_back(value_info(inner, others).first); break;
        default: break;
        }
    };
    try {
        fields({begin, begin + size}, [&](uint64_t field, uint64_t, Bytes inner) {
            if (field == 7) {
                has_graph = true;
                fields(inner, part);
            }
        });
        if (!has_graph) {
            throw Malformed("the model has no graph");
        }
    } catch (Malformed const& error) {
        complaints.push_back({3, -1, error.what(), "", ""});
        return graph;
    }
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
        auto const& node = graph.nodes[i];
        if (!is_known(node.op)) {
            complaints.push_back({8, static_cast<int>(i), "No importer registered for op: " + node.op, node.name, node.op});
            continue;
        }
        for (auto const& input : node.inputs) {
            if (others.count(input) != 0) {
                complaints.push_back({8, static_cast<int>(i), "Unsupported type of tensor " + input, node.name, node.op});
            }
        }
        if (others.count(node.output) != 0) {
            complaints.push_back({8, static_cast<int>(i), "Unsupported type of tensor " + node.output, node.name, node.op});
        }
    }
    // As on the real one: what is known only while layers are made shows when nothing else is wrong any more.
    if (complaints.empty()) {
        try {
            infer(graph, graph.inputs);
        } catch (Unsupported const& error) {
            auto const& node = graph.nodes[error.node];
            complaints.push_back({5, static_cast<int>(error.node), error.what(), node.name, node.op});
        } catch (std::exception const& error) {
            complaints.push_back({5, -1, error.what(), "", ""});
        }
    }
    return graph;
}

}   // namespace egret_double
