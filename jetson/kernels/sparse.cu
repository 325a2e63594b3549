// Scans of outputs that are rows of boxes: final rows, SSD, and the queries of DETR and its descendants.
//
// Grid: rows, and one layer per picture.
#include "reading.cuh"

__device__ inline float load_at(const Scan& p, const Place& place, u32 picture, u32 row) {
    return load(p.outputs[place.output], picture, (u64)row * place.step + place.at);
}

// Boxes that are final: a score, a class and four edges (or centre, size and angle), each in its place of one or of several outputs.
extern "C" __global__ void __launch_bounds__(256) scan_final(const Scan p) {
    const u32 row = blockIdx.x * blockDim.x + threadIdx.x, picture = blockIdx.y;
    if (row >= p.rows) return;
    Counters& counters = p.counters[picture];
    if (p.whole) {
        if (!p.picture_place && picture > 0) return report(counters, 1, 0, 0, FAULT_UNATTRIBUTED, 0.0f);
        // A number that is none of the batch's marks the end.
        const float of = p.picture_place ? load(p.outputs[0], picture, (u64)row * p.columns + p.picture_place - 1) : 0.0f;
        if (p.picture_place && fabsf(of - (float)picture) >= 0.5f) return;
    }
    if (p.has_count) {
        const float count = load(p.outputs[0], picture, 0);
        if (!(count >= 0.0f && count <= (float)p.rows)) return report(counters, 1, 0, 0, FAULT_COUNT, count);
        if (row >= (u32)roundf(count)) return;
    }
    const float score = load_at(p, p.score, picture, row);
    if (!probable(score)) return report(counters, 1, row, p.score.output, improbable(score), score);
    // What is less sure may be padding, with any class.
    if (score < p.lowest) return;
    const float name = load_at(p, p.class_index, picture, row) - (float)p.first_class;
    const u32 own = class_of(name, p.classes);
    if (own >= p.classes) return report(counters, 1, row, p.class_index.output, FAULT_NO_SUCH_CLASS, name);
    if (!passes(p, own, score)) return;
    float v[4];
    for (u32 k = 0; k < 4; k++) v[k] = load_at(p, p.edges[k], picture, row);
    Box box = {{v[0] * p.scale[0], v[1] * p.scale[1], v[2] * p.scale[0], v[3] * p.scale[1]}};
    if (p.angle && !turned_box(p, picture, row, v, load(p.outputs[0], picture, (u64)row * p.columns + p.angle), box)) return;
    put(p, picture, p.edges[0].output, row, own, score, box);
}

// How far a logit may be below what would be enough and still be looked at closely.
static const float LOGIT_SLACK = 1e-3f;

// The box of an SSD's offsets: of output 0, `[N,A,4]` or with `by_column` `[N,4,A]`.
__device__ inline Box ssd_box(const Scan& p, u32 picture, u32 row) {
    float v[4];
    for (u32 k = 0; k < 4; k++) v[k] = load(p.outputs[0], picture, cell(p.by_column, p.rows, 4, row, k));
    const float x = p.y_first ? v[1] : v[0], y = p.y_first ? v[0] : v[1];
    const float w = p.y_first ? v[3] : v[2], h = p.y_first ? v[2] : v[3];
    if (!p.priors) return Box{{x * p.width, y * p.height, w * p.width, h * p.height}};
    const float* prior = p.priors + 4 * (u64)row;
    const float cx = (prior[0] + x * p.variances[0] * prior[2]) * p.width;
    const float cy = (prior[1] + y * p.variances[0] * prior[3]) * p.height;
    return corners(cx, cy, prior[2] * expf(w * p.variances[1]) * p.width, prior[3] * expf(h * p.variances[1]) * p.height);
}

// SSD: boxes, and scores `[N,A,C']` or with `by_column` `[N,C',A]`, C' = C plus 1 where there is a background.
extern "C" __global__ void __launch_bounds__(256) scan_ssd(const Scan p) {
    const u32 row = blockIdx.x * blockDim.x + threadIdx.x, picture = blockIdx.y;
    if (row >= p.rows) return;
    Counters& counters = p.counters[picture];
    auto at = [&](u32 column) { return load(p.outputs[1], picture, cell(p.by_column, p.rows, p.columns, row, column)); };
    const u32 first = p.background ? 1 : 0;
    float most = -INFINITY, ours = -INFINITY, sum = 0.0f;
    for (u32 i = 0; i < p.columns; i++) {
        const float v = at(i);
        const bool sound = p.activation == ACTIVATION_NONE ? probable(v) : v < INFINITY;
        if (!sound) return report(counters, 1, row, 1, improbable(v), v);
        most = fmaxf(most, v);
        if (i >= first) ours = fmaxf(ours, v);
    }
    if (p.activation == ACTIVATION_SOFTMAX) {
        // A softmax is at most the exponential of the distance to the greatest logit.
        if (ours < most + p.lowest_ln - LOGIT_SLACK) return;
        for (u32 i = 0; i < p.columns; i++) sum += expf(at(i) - most);
    }
    bool known = false;
    Box box = {{0.0f, 0.0f, 0.0f, 0.0f}};
    for (u32 i = first; i < p.columns; i++) {
        const float v = at(i);
        const float score = p.activation == ACTIVATION_NONE ? v : p.activation == ACTIVATION_SIGMOID ? sigmoid(v) : expf(v - most) / sum;
        if (!passes(p, i - first, score)) continue;
        if (!known) box = ssd_box(p, picture, row);
        known = true;
        put(p, picture, 0, row, i - first, score, box);
    }
}

// DETR, RT-DETR, D-FINE, RF-DETR: logits `[N,Q,columns]` and boxes `[N,Q,4]` = centre x, centre y, w, h, 0..1. Boxes are judged when
// the best are known, and scores by class too.
extern "C" __global__ void __launch_bounds__(256) scan_queries(const Scan p) {
    const u32 row = blockIdx.x * blockDim.x + threadIdx.x, picture = blockIdx.y;
    if (row >= p.rows) return;
    Counters& counters = p.counters[picture];
    auto logit = [&](u32 column) { return load(p.outputs[0], picture, (u64)row * p.columns + column); };
    float most = -INFINITY, sum = 0.0f;
    bool outside = false;
    for (u32 i = 0; i < p.columns; i++) {
        const float v = logit(i);
        const bool sound = p.activation == ACTIVATION_NONE ? probable(v) : v < INFINITY;
        outside = outside || !(v >= 0.0f && v <= 1.0f);
        if (!sound) {
            atomicOr(&counters.flags, SEEN_LOGIT_OUTSIDE);
            return report(counters, 1, row, 0, improbable(v), v);
        }
        most = fmaxf(most, v);
    }
    if (outside && !(counters.flags & SEEN_LOGIT_OUTSIDE)) atomicOr(&counters.flags, SEEN_LOGIT_OUTSIDE);
    float v[4];
    for (u32 k = 0; k < 4; k++) v[k] = load(p.outputs[1], picture, 4 * (u64)row + k);
    const Box box = corners(v[0] * p.width, v[1] * p.height, v[2] * p.width, v[3] * p.height);
    if (p.activation == ACTIVATION_SOFTMAX) {
        for (u32 i = 0; i < p.columns; i++) sum += expf(logit(i) - most);
        u32 best = 0;
        float score = -INFINITY;
        for (u32 i = 0; i < p.classes; i++) {
            const float share = expf(logit(i) - most) / sum;
            if (is_nan(share)) return report(counters, 1, row, 0, FAULT_NOT_FINITE, share);
            if (share > score) best = i, score = share;
        }
        if (score >= p.lowest) append(p, picture, row, best, score, box);
        return;
    }
    for (u32 i = 0; i < p.classes; i++) {
        const float score = p.activation == ACTIVATION_SIGMOID ? sigmoid(logit(i)) : logit(i);
        if (score >= p.lowest) append(p, picture, row, i, score, box);
    }
}
