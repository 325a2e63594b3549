// How outputs are read, and what a sound one looks like. Each rule is that of the Rust heads (`models/src/head`).
#pragma once

#include "decode.cuh"

// What is wrong with a value.
enum Fault : u32 {
    FAULT_NOT_FINITE = 1,
    FAULT_NOT_A_PROBABILITY,
    FAULT_ALREADY_SCORES,
    FAULT_FAR_AWAY,
    FAULT_NORMALISED,
    FAULT_NO_SUCH_CLASS,
    FAULT_UNATTRIBUTED,
    FAULT_COUNT,
    FAULT_CROWDED,  // more candidates than there is room for
};

// A sigmoid or softmax computed in floating point stays within this of 0..1.
static const float PROBABILITY_SLACK = 1e-3f;

__device__ inline float load(const Output& output, u32 picture, u64 index) {
    const u64 at = picture * output.per_picture + index;
    switch (output.element) {
        case 1: return half_value(__ldg((const u16*)output.data + at));
        case 2: return (float)__ldg((const int*)output.data + at);
        case 3: return (float)__ldg((const long long*)output.data + at);
        default: return __ldg((const float*)output.data + at);
    }
}

__device__ inline bool finite(float value) { return fabsf(value) <= 3.402823466e38f; }

__device__ inline bool is_nan(float value) { return value != value; }

__device__ inline bool probable(float value) { return value >= -PROBABILITY_SLACK && value <= 1.0f + PROBABILITY_SLACK; }

__device__ inline u32 improbable(float value) { return finite(value) ? FAULT_NOT_A_PROBABILITY : FAULT_NOT_FINITE; }

// Faults in the order in which they are told: those of scores where all scores are looked at first, then by row.
__device__ inline u64 fault_key(u32 later, u32 row, u32 output, u32 fault, float value) {
    return (u64)later << 63 | (u64)(row & 0x7fffff) << 40 | (u64)output << 36 | (u64)fault << 32 | __float_as_uint(value);
}

__device__ inline void report(Counters& counters, u32 later, u32 row, u32 output, u32 fault, float value) {
    atomicMin(&counters.fault, fault_key(later, row, output, fault, value));
}

__device__ inline bool near(float value, float limit) { return fabsf(value) <= limit; }

__device__ inline u32 far_away(float value) { return finite(value) ? FAULT_FAR_AWAY : FAULT_NOT_FINITE; }

__device__ inline bool passes(const Scan& p, u32 class_index, float score) { return score >= __ldg(p.confidences + class_index); }

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

__device__ inline float clamped(float value, float least, float most) {
    return value < least ? least : value > most ? most : value;
}

struct Box {
    float edges[4];
};

__device__ inline Box corners(float cx, float cy, float w, float h) {
    return Box{{cx - w / 2.0f, cy - h / 2.0f, cx + w / 2.0f, cy + h / 2.0f}};
}

__device__ inline Box clipped(const Box& b, float width, float height) {
    return Box{{clamped(b.edges[0], 0.0f, width), clamped(b.edges[1], 0.0f, height), clamped(b.edges[2], 0.0f, width),
                clamped(b.edges[3], 0.0f, height)}};
}

// A candidate as it is.
__device__ inline void append(const Scan& p, u32 picture, u32 row, u32 class_index, float score, const Box& box) {
    const u32 place = atomicAdd(&p.counters[picture].count, 1u);
    if (place >= p.capacity) return;
    Candidate& to = p.candidates[(u64)picture * p.capacity + place];
    for (u32 i = 0; i < 4; i++) to.bbox[i] = box.edges[i];
    to.score = score;
    to.class_index = class_index;
    to.row = row;
}

// A candidate, if its box can be.
__device__ inline void put(const Scan& p, u32 picture, u32 output, u32 row, u32 class_index, float score, const Box& box) {
    Counters& counters = p.counters[picture];
    bool pixels = false;
    for (u32 i = 0; i < 4; i++) {
        const float edge = box.edges[i];
        if (!near(edge, p.limit)) return report(counters, 1, row, output, far_away(edge), edge);
        pixels = pixels || !(edge >= -0.5f && edge <= 1.5f);
    }
    if (pixels && !(counters.flags & SEEN_PIXELS)) atomicOr(&counters.flags, SEEN_PIXELS);
    append(p, picture, row, class_index, clamped(score, 0.0f, 1.0f), p.clip ? clipped(box, p.width, p.height) : box);
}

// The class that a final row names; `classes` where it is none.
__device__ inline u32 class_of(float value, u32 classes) {
    const bool fits = value >= -0.001f && value < (float)classes - 0.5f && fabsf(value - roundf(value)) < 0.001f;
    return fits ? (u32)fmaxf(roundf(value), 0.0f) : classes;
}

// The upright box around a turned one.
__device__ inline Box hull(float cx, float cy, float w, float h, float angle) {
    const float s = sinf(angle), c = cosf(angle);
    const float across = (fabsf(w * c) + fabsf(h * s)) / 2.0f, down = (fabsf(w * s) + fabsf(h * c)) / 2.0f;
    return Box{{cx - across, cy - down, cx + across, cy + down}};
}

// The hull of centre, size and angle, if they can be; else a fault is reported.
__device__ inline bool turned_box(const Scan& p, u32 picture, u32 row, const float* v, float angle, Box& box) {
    for (u32 i = 0; i < 4; i++) {
        if (near(v[i], p.limit)) continue;
        report(p.counters[picture], 1, row, 0, far_away(v[i]), v[i]);
        return false;
    }
    if (!near(angle, 6.28318530717958647692f)) {
        report(p.counters[picture], 1, row, 0, far_away(angle), angle);
        return false;
    }
    box = hull(v[0], v[1], v[2], v[3], angle);
    return true;
}

// Where in its table a value lies.
__device__ inline u64 cell(u32 by_column, u32 rows, u32 columns, u32 row, u32 column) {
    return by_column ? (u64)column * rows + row : (u64)row * columns + column;
}

// The grid that a row belongs to.
__device__ inline u32 grid_of(const Scan& p, u32 row) {
    u32 grid = 0;
    while (grid + 1 < p.grid_count && row >= p.grids[grid + 1].first) grid++;
    return grid;
}
