// Scans of outputs that predict on every cell of their grids: YOLOX, YOLOv5 and YOLOv7, YOLOv8 and later, NanoDet, PicoDet,
// DetectNet_v2.
//
// Grid: rows, and one layer per picture. Where the values of a column lie together the lanes of a warp read neighbours; where those of
// a row do, the objectness of most rows ends their thread after one load.
#include "reading.cuh"

// The row of this thread; `p.rows` and beyond: none.
__device__ inline u32 own_row() { return blockIdx.x * blockDim.x + threadIdx.x; }

// The best class of a row of scores and its score, by an objectness that bounds it; `classes`: not worth telling. `value(i)` is the
// i-th of the classes.
template <class Value>
__device__ inline u32 best_of(const Scan& p, u32 picture, u32 row, u32 output, float objectness, Value value, float& score) {
    u32 best = 0;
    float most = -INFINITY;
    for (u32 i = 0; i < p.classes; i++) {
        const float v = value(i);
        if (!probable(v)) {
            report(p.counters[picture], 1, row, output, improbable(v), v);
            return p.classes;
        }
        if (v > most) best = i, most = v;
    }
    if (!probable(objectness)) {
        report(p.counters[picture], 1, row, output, improbable(objectness), objectness);
        return p.classes;
    }
    score = objectness * most;
    return passes(p, best, score) ? best : p.classes;
}

// `[N,A,5+C]`: x, y, w, h, objectness, classes. With grids as YOLOX has it, relative to cells; without, centre and size in pixels.
extern "C" __global__ void __launch_bounds__(256) scan_objectness(const Scan p) {
    const u32 row = own_row(), picture = blockIdx.y;
    if (row >= p.rows) return;
    const u64 first = (u64)row * p.columns;
    const Output& o = p.outputs[0];
    const float objectness = load(o, picture, first + 4);
    // Class scores are at most 1, so objectness bounds the score from above. NaN fails both comparisons.
    if (objectness < p.lowest && probable(objectness)) return;
    float score = 0.0f;
    const u32 best = best_of(p, picture, row, 0, objectness, [&](u32 i) { return load(o, picture, first + 5 + i); }, score);
    if (best >= p.classes) return;
    float v[4];
    for (u32 i = 0; i < 4; i++) v[i] = load(o, picture, first + i);
    if (p.grid_count > 0) {
        const Grid& grid = p.grids[grid_of(p, row)];
        const u32 at = row - grid.first;
        v[0] = (v[0] + (float)(at % grid.columns)) * grid.stride;
        v[1] = (v[1] + (float)(at / grid.columns)) * grid.stride;
        v[2] = expf(v[2]) * grid.stride;
        v[3] = expf(v[3]) * grid.stride;
    }
    put(p, picture, 0, row, best, score, corners(v[0], v[1], v[2], v[3]));
}

// Raw grids of YOLOv5, before the sigmoid: one output per grid, `[N,a,H,W,5+C]`, or with `by_column` `[N,a*(5+C),H,W]`.
extern "C" __global__ void __launch_bounds__(256) scan_anchors(const Scan p) {
    const u32 row = own_row(), picture = blockIdx.y;
    if (row >= p.rows) return;
    const u32 output = grid_of(p, row);
    const Grid& grid = p.grids[output];
    const u32 local = row - grid.first, anchor = local / grid.cells, at = local % grid.cells;
    const u64 first = p.by_column ? (u64)anchor * p.columns * grid.cells + at : (u64)local * p.columns;
    const u64 step = p.by_column ? grid.cells : 1;
    const Output& o = p.outputs[output];
    Counters& counters = p.counters[picture];
    auto raw = [&](u32 i) { return load(o, picture, first + i * step); };
    const float logit = raw(4);
    if (is_nan(logit)) return report(counters, 1, row, output, FAULT_NOT_FINITE, logit);
    const float objectness = sigmoid(logit);
    if (objectness < p.lowest) return;
    for (u32 i = 4; i < p.columns; i++) {
        const float v = raw(i);
        if (!(v < INFINITY)) return report(counters, 1, row, output, FAULT_NOT_FINITE, v);
    }
    float score = 0.0f;
    const u32 best = best_of(p, picture, row, output, objectness, [&](u32 i) { return sigmoid(raw(5 + i)); }, score);
    if (best >= p.classes) return;
    const float x = (2.0f * sigmoid(raw(0)) - 0.5f + (float)(at % grid.columns)) * grid.stride;
    const float y = (2.0f * sigmoid(raw(1)) - 0.5f + (float)(at / grid.columns)) * grid.stride;
    const float w = 2.0f * sigmoid(raw(2)), h = 2.0f * sigmoid(raw(3));
    const float* sides = p.anchors[output][anchor];
    put(p, picture, output, row, best, score, corners(x, y, w * w * sides[0], h * h * sides[1]));
}

// YOLOv8 and later: `[N,4+C+E,A]` or, without `by_column`, `[N,A,4+C+E]`: centre x, centre y, w, h in pixels, classes, and E more.
extern "C" __global__ void __launch_bounds__(256) scan_table(const Scan p) {
    const u32 row = own_row(), picture = blockIdx.y;
    if (row >= p.rows) return;
    const Output& o = p.outputs[0];
    auto at = [&](u32 column) { return load(o, picture, cell(p.by_column, p.rows, p.columns, row, column)); };
    u32 best = 0;
    float score = -INFINITY;
    for (u32 i = 0; i < p.classes; i++) {
        const float v = at(4 + i);
        if (!probable(v)) return report(p.counters[picture], 0, row, 0, improbable(v), v);
        if (v > score) best = i, score = v;
    }
    if (!passes(p, best, score)) return;
    const float v[4] = {at(0), at(1), at(2), at(3)};
    Box box = corners(v[0], v[1], v[2], v[3]);
    if (p.angle && !turned_box(p, picture, row, v, at(p.angle), box)) return;
    put(p, picture, 0, row, best, score, box);
}

// The expected distance to an edge, in pixels: of the softmax over the bins. False: it is not finite.
__device__ inline bool distance(const Scan& p, const Output& o, u32 picture, u64 first, float stride, float& out) {
    float most = -INFINITY, sum = 0.0f, expected = 0.0f;
    // As loops, not four steps at a time: those would not fit the registers.
#pragma unroll 1
    for (u32 i = 0; i < p.bins; i++) most = fmaxf(most, load(o, picture, first + i));
#pragma unroll 1
    for (u32 i = 0; i < p.bins; i++) sum += expf(load(o, picture, first + i) - most);
#pragma unroll 1
    for (u32 i = 0; i < p.bins; i++) expected += (float)i * (expf(load(o, picture, first + i) - most) / sum);
    out = expected * stride;
    return finite(out);
}

// NanoDet and PicoDet: classes after the sigmoid and distributions of the distances to the edges; `joined` in one output
// `[N,A,C+4*bins]`, else per grid `[N,cells,C]` and then per grid `[N,cells,4*bins]`.
extern "C" __global__ void __launch_bounds__(256) scan_distribution(const Scan p) {
    const u32 row = own_row(), picture = blockIdx.y;
    if (row >= p.rows) return;
    const u32 own = grid_of(p, row);
    const Grid& grid = p.grids[own];
    const u32 local = row - grid.first;
    const u32 score_output = p.joined ? 0 : own, edge_output = p.joined ? 0 : own + p.grid_count;
    const u64 scores = p.joined ? (u64)row * p.columns : (u64)local * p.classes;
    const u64 edges = p.joined ? scores + p.classes : (u64)local * 4 * p.bins;
    const Output &o = p.outputs[score_output], &e = p.outputs[edge_output];
    Counters& counters = p.counters[picture];
    bool known = false;
    Box box = {{0.0f, 0.0f, 0.0f, 0.0f}};
    for (u32 i = 0; i < p.classes; i++) {
        const float score = load(o, picture, scores + i);
        if (!probable(score)) return report(counters, 1, row, score_output, improbable(score), score);
        if (!passes(p, i, score)) continue;
        if (!known) {
            const float x = ((float)(local % grid.columns) + p.point) * grid.stride;
            const float y = ((float)(local / grid.columns) + p.point) * grid.stride;
            float left = 0.0f, top = 0.0f, right = 0.0f, bottom = 0.0f;
#pragma unroll 1
            for (u32 k = 0; k < 4; k++) {
                float d;
                if (!distance(p, e, picture, edges + k * p.bins, grid.stride, d))
                    return report(counters, 1, row, edge_output, FAULT_NOT_FINITE, d);
                left = k == 0 ? x - d : left, top = k == 1 ? y - d : top;
                right = k == 2 ? x + d : right, bottom = k == 3 ? y + d : bottom;
            }
            box = Box{{left, top, right, bottom}};
            if (p.clip) box = clipped(box, p.width, p.height);
            known = true;
        }
        put(p, picture, edge_output, row, i, score, box);
    }
}

// PicoDet with its boxes decoded: `[N,A,4]` in pixels and scores `[N,C,A]`.
extern "C" __global__ void __launch_bounds__(256) scan_decoded(const Scan p) {
    const u32 row = own_row(), picture = blockIdx.y;
    if (row >= p.rows) return;
    for (u32 i = 0; i < p.classes; i++) {
        const float score = load(p.outputs[1], picture, (u64)i * p.rows + row);
        if (!probable(score)) return report(p.counters[picture], 1, row, 1, improbable(score), score);
        if (!passes(p, i, score)) continue;
        Box box;
        for (u32 k = 0; k < 4; k++) box.edges[k] = load(p.outputs[0], picture, 4 * (u64)row + k);
        put(p, picture, 0, row, i, score, box);
    }
}

// DetectNet_v2: coverage `[N,C,H,W]` and edges `[N,4*C,H,W]` in units of `scale` pixels from a point of the cell. A row is a cell of a
// class.
extern "C" __global__ void __launch_bounds__(256) scan_coverage(const Scan p) {
    const u32 row = own_row(), picture = blockIdx.y;
    if (row >= p.rows) return;
    const Grid& grid = p.grids[0];
    const float score = load(p.outputs[0], picture, row);
    if (!probable(score)) return report(p.counters[picture], 1, row, 0, improbable(score), score);
    const u32 own = row / grid.cells, at = row % grid.cells;
    if (!passes(p, own, score)) return;
    float e[4];
    for (u32 k = 0; k < 4; k++) e[k] = load(p.outputs[1], picture, (u64)(4 * own + k) * grid.cells + at) * p.scale[0];
    const float x = (float)(at % grid.columns) * grid.stride + p.point, y = (float)(at / grid.columns) * grid.stride + p.point;
    put(p, picture, 1, row, own, score, Box{{x - e[0], y - e[1], x + e[2], y + e[3]}});
}
