// The double's serialised engines: everything that a real plan would be refused for can be wrong with them, too.
#pragma once

#include "graph.hpp"

#include <algorithm>
#include <cstring>

namespace egret_double {

struct Range {
    std::string name;
    Shape min, opt, max;
};

struct Plan {
    int32_t version = 0;
    int64_t device = 0;
    int32_t dla_core = -1;
    std::string options;   // what the builder was told, as JSON
    std::vector<std::vector<Range>> profiles;
    std::string onnx;
};

inline uint64_t checksum(char const* data, size_t size) {   // FNV-1a
    uint64_t hash = 0xcbf29ce484222325U;
    for (size_t i = 0; i < size; ++i) {
        hash = (hash ^ static_cast<unsigned char>(data[i])) * 0x100000001b3U;
    }
    return hash;
}

class Writer {
public:
    template <typename T>
    void number(T value) { out.append(reinterpret_cast<char const*>(&value), sizeof value); }
    void text(std::string const& s) {
        number<uint64_t>(s.size());
        out += s;
    }
    void shape(Shape const& s) {
        number<uint64_t>(s.size());
        for (int64_t d : s) {
            number(d);
        }
    }
    std::string out;
};

class Reader {
public:
    Reader(char const* data, size_t size) : at_{data}, left_{size} {}
    template <typename T>
    T number() {
        T value;
        std::memcpy(&value, take(sizeof value), sizeof value);
        return value;
    }
    std::string text() {
        auto const size = number<uint64_t>();
        return {take(size), size};
    }
    Shape shape() {
        Shape s(std::min<uint64_t>(number<uint64_t>(), 8));
        for (int64_t& d : s) {
            d = number<int64_t>();
        }
        return s;
    }
    char const* take(uint64_t size) {
        if (size > left_) {
            throw std::invalid_argument("Serialization assertion failed: the plan is truncated");
        }
        char const* at = at_;
        at_ += size;
        left_ -= size;
        return at;
    }

private:
    char const* at_;
    uint64_t left_;
};

constexpr char const* kPlanMagic = "EGRETDBL";

inline std::string write_plan(Plan const& plan) {
    Writer w;
    w.out = kPlanMagic;
    w.number(plan.version);
    w.number(plan.device);
    w.number(plan.dla_core);
    w.text(plan.options);
    w.number<uint64_t>(plan.profiles.size());
    for (auto const& profile : plan.profiles) {
        w.number<uint64_t>(profile.size());
        for (auto const& range : profile) {
            w.text(range.name);
            w.shape(range.min);
            w.shape(range.opt);
            w.shape(range.max);
        }
    }
    w.text(plan.onnx);
    w.number(checksum(w.out.data(), w.out.size()));
    return w.out;
}

// Throws with TensorRT-like words.
inline Plan read_plan(char const* data, size_t size, int32_t version, int64_t device) {
    Reader r{data, size};
    if (std::memcmp(r.take(8), kPlanMagic, 8) != 0) {
        throw std::invalid_argument("Serialization assertion magicTagRead == kMAGIC_TAG failed");
    }
    Plan plan;
    plan.version = r.number<int32_t>();
    if (plan.version != version) {
        throw std::invalid_argument("Version tag does not match: the engine plan file is not compatible with this version of TensorRT, expecting "
            + std::to_string(version) + " got " + std::to_string(plan.version) + ", please rebuild");
    }
    uint64_t stored = 0;
    if (size < 8 + sizeof stored) {
        throw std::invalid_argument("Serialization assertion failed: the plan is truncated");
    }
    std::memcpy(&stored, data + size - sizeof stored, sizeof stored);
    if (stored != checksum(data, size - sizeof stored)) {
        throw std::invalid_argument("Serialization assertion failed: the plan is truncated or damaged");
    }
    plan.device = r.number<int64_t>();
    if (plan.device != device) {
        throw std::invalid_argument("The engine plan file was generated on an incompatible device, please rebuild");
    }
    plan.dla_core = r.number<int32_t>();
    plan.options = r.text();
    plan.profiles.resize(r.number<uint64_t>());
    for (auto& profile : plan.profiles) {
        profile.resize(r.number<uint64_t>());
        for (auto& range : profile) {
            range.name = r.text();
            range.min = r.shape();
            range.opt = r.shape();
            range.max = r.shape();
        }
    }
    plan.onnx = r.text();
    return plan;
}

}   // namespace egret_double
