// From the candidates of each picture to its boxes: the best, in a total order, without duplicates.
//
// Grid: one block per picture. What is best is decided exactly as on the host, ties included: by score, then class, edges and row. Top-k
// is a radix selection over that order, digit by digit, so that no number of candidates or ties needs more memory.
#include "reading.cuh"

// Words that a candidate is ordered by, the first first; floats as integers of the same order (`f32::total_cmp`).
static const u32 ORDER_WORDS = 7;
static const u32 LATE_WORDS = 3;

__device__ inline u32 ordered(float value) {
    const u32 bits = __float_as_uint(value);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// Best score first; then class, edges, row. With `late` score, row, class.
__device__ inline u32 order_word(const Candidate& c, u32 word, u32 late) {
    if (word == 0) return ~ordered(c.score);
    if (late) return word == 1 ? c.row : c.class_index;
    return word == 1 ? c.class_index : word < 6 ? ordered(c.bbox[word - 2]) : c.row;
}

// The last candidate that is taken: its words up to a byte.
struct Cut {
    u32 words[ORDER_WORDS];
    u32 word;   // the word that the cut ends in
    u32 shift;  // where in it
    u32 left;   // how many are still to be taken
    u32 done;
};

// How a candidate lies to the cut: below 0 before it, 0 in it, above 0 beyond.
__device__ inline int against(const Candidate& c, const Cut& cut, u32 late) {
    for (u32 word = 0; word <= cut.word; word++) {
        const u32 shift = word == cut.word ? cut.shift : 0;
        const u32 own = order_word(c, word, late) >> shift, other = cut.words[word] >> shift;
        if (own != other) return own < other ? -1 : 1;
    }
    return 0;
}

// Finds the cut that leaves `wanted` of `count` candidates, wanted < count.
__device__ inline void find_cut(const Candidate* candidates, u32 count, u32 wanted, u32 late, Cut& cut, u32* histogram) {
    const u32 lane = threadIdx.x, lanes = blockDim.x, words = late ? LATE_WORDS : ORDER_WORDS;
    if (lane == 0) cut.left = wanted, cut.done = 0;
    __syncthreads();
    for (u32 level = 0; level < 4 * words; level++) {
        const u32 word = level / 4, shift = 24 - level % 4 * 8;
        for (u32 i = lane; i < 256; i += lanes) histogram[i] = 0;
        __syncthreads();
        for (u32 i = lane; i < count; i += lanes) {
            const Candidate& c = candidates[i];
            if (level > 0 && against(c, cut, late) != 0) continue;
            atomicAdd(&histogram[order_word(c, word, late) >> shift & 0xff], 1u);
        }
        __syncthreads();
        if (lane == 0) {
            u32 digit = 0;
            while (histogram[digit] < cut.left) cut.left -= histogram[digit++];
            cut.words[word] = (level % 4 == 0 ? 0 : cut.words[word]) | digit << shift;
            cut.word = word, cut.shift = shift;
            cut.done = histogram[digit] == cut.left;
        }
        __syncthreads();
        if (cut.done) return;
    }
}

__device__ inline bool before(const Candidate* candidates, u64 a, u64 b) {
    const u32 score_a = (u32)(a >> 32), score_b = (u32)(b >> 32);
    if (score_a != score_b) return score_a < score_b;
    const u32 i = (u32)a, j = (u32)b;
    if (i == 0xffffffffu || j == 0xffffffffu) return i < j;
    for (u32 word = 1; word < ORDER_WORDS; word++) {
        const u32 own = order_word(candidates[i], word, 0), other = order_word(candidates[j], word, 0);
        if (own != other) return own < other;
    }
    return false;
}

// Sorts a power of two of keys (bitonic).
__device__ inline void sort(const Candidate* candidates, u64* keys, u32 size) {
    for (u32 run = 2; run <= size; run *= 2) {
        for (u32 step = run / 2; step > 0; step /= 2) {
            for (u32 i = threadIdx.x; i < size / 2; i += blockDim.x) {
                const u32 low = i / step * 2 * step + i % step, high = low + step;
                const u64 a = keys[low], b = keys[high];
                const bool ascending = (low & run) == 0;
                if (before(candidates, b, a) == ascending) keys[low] = b, keys[high] = a;
            }
            __syncthreads();
        }
    }
}

__device__ inline float area(const float* b) { return fmaxf(b[2] - b[0], 0.0f) * fmaxf(b[3] - b[1], 0.0f); }

__device__ inline float overlap(const float* a, const float* b) {
    const float w = fmaxf(fminf(a[2], b[2]) - fmaxf(a[0], b[0]), 0.0f), h = fmaxf(fminf(a[3], b[3]) - fmaxf(a[1], b[1]), 0.0f);
    const float both = w * h, either = area(a) + area(b) - both;
    return either > 0.0f ? both / either : 0.0f;
}

static const float EPSILON = 1e-7f;

__device__ inline Turned turned(float x, float y, float w, float h, float angle) {
    const float p = w * w / 12.0f, q = h * h / 12.0f, s = sinf(angle), c = cosf(angle);
    const float a = p * c * c + q * s * s, b = p * s * s + q * c * c, both = (p - q) * c * s;
    return Turned{x, y, a, b, both, fmaxf(a * b - both * both, 0.0f)};
}

// ProbIoU (Llerena et al. 2021).
__device__ inline float overlap(const Turned& own, const Turned& other) {
    const float dx = other.x - own.x, dy = own.y - other.y;
    const float a = own.a + other.a, b = own.b + other.b, c = own.c + other.c, determinant = a * b - c * c;
    const float apart = (a * dy * dy + b * dx * dx) / (determinant + EPSILON) * 0.25f;
    const float skewed = c * dx * dy / (determinant + EPSILON) * 0.5f;
    const float unlike = logf(determinant / (4.0f * sqrtf(own.own * other.own) + EPSILON) + EPSILON) * 0.5f;
    const float distance = clamped(apart + skewed + unlike, EPSILON, 100.0f);
    return 1.0f - sqrtf(1.0f - expf(-distance) + EPSILON);
}

__device__ inline float more_of(const Select& p, u32 picture, u32 row, u32 column) {
    return load(p.table, picture, cell(p.by_column, p.rows, p.columns, row, column));
}

// Suppression: `kept` are places among the sorted keys. Returns how many there are.
__device__ inline u32 suppress(const Select& p, const Candidate* candidates, const u64* keys, u32 count, u8* alive, u16* kept) {
    for (u32 i = threadIdx.x; i < count; i += blockDim.x) alive[i] = 1;
    __syncthreads();
    u32 found = 0;
    for (u32 i = 0; i < count && found < p.detections; i++) {
        if (!alive[i]) continue;
        if (threadIdx.x == 0) kept[found] = (u16)i;
        found++;
        const Candidate& better = candidates[(u32)keys[i]];
        for (u32 j = i + 1 + threadIdx.x; j < count; j += blockDim.x) {
            const Candidate& other = candidates[(u32)keys[j]];
            const bool compete = p.class_agnostic || better.class_index == other.class_index;
            if (alive[j] && compete && overlap(better.bbox, other.bbox) > p.iou) alive[j] = 0;
        }
        __syncthreads();
    }
    return found;
}

// The same of turned boxes: as published, a box falls to any better box, also to one that has fallen itself.
__device__ inline u32 suppress_turned(const Select& p, const Candidate* candidates, const u64* keys, u32 count, u8* alive, u16* kept) {
    Turned* boxes = p.turned + (u64)blockIdx.x * MAX_RANKED;
    for (u32 i = threadIdx.x; i < count; i += blockDim.x) {
        const u32 row = candidates[(u32)keys[i]].row;
        float v[4];
        for (u32 k = 0; k < 4; k++) v[k] = more_of(p, blockIdx.x, row, k);
        boxes[i] = turned(v[0], v[1], v[2], v[3], more_of(p, blockIdx.x, row, p.more_at));
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < count; i += blockDim.x) {
        const u32 own = candidates[(u32)keys[i]].class_index;
        bool stays = true;
        for (u32 j = 0; j < i && stays; j++) {
            const bool compete = p.class_agnostic || candidates[(u32)keys[j]].class_index == own;
            stays = !(compete && overlap(boxes[j], boxes[i]) > p.iou);
        }
        alive[i] = stays;
    }
    __syncthreads();
    u32 found = 0;
    for (u32 i = 0; i < count && found < p.detections; i++) {
        if (!alive[i]) continue;
        if (threadIdx.x == 0) kept[found] = (u16)i;
        found++;
    }
    __syncthreads();
    return found;
}

static const float PI = 3.14159265358979323846f;
static const float QUARTER = 1.57079632679489661923f;

__device__ inline float remainder_of(float value, float of) {
    const float rest = fmodf(value, of);
    return rest < 0.0f ? rest + of : rest;
}

// What belongs to a box, at `out`; `fault` takes what is wrong.
__device__ inline void write_more(const Select& p, u32 row, float* out, u64* fault) {
    const u32 picture = blockIdx.x;
    if (p.more == MORE_ANGLE) {
        const float w = more_of(p, picture, row, 2), h = more_of(p, picture, row, 3), angle = more_of(p, picture, row, p.more_at);
        const bool quarter = remainder_of(angle, PI) >= QUARTER;
        out[0] = more_of(p, picture, row, 0), out[1] = more_of(p, picture, row, 1);
        out[2] = quarter ? h : w, out[3] = quarter ? w : h;
        // The remainder of a tiny negative angle may round up to the whole quarter turn.
        out[4] = fminf(remainder_of(angle, QUARTER), __uint_as_float(0x3fc90fdau));
        return;
    }
    const bool points = p.more == MORE_KEYPOINTS;
    for (u32 i = 0; i < p.more_count; i++) {
        const u32 column = p.more_at + i * (points ? p.more_values : 1);
        const float x = more_of(p, picture, row, column);
        if (!points) {
            if (!finite(x)) atomicMin(fault, fault_key(1, row, 0, FAULT_NOT_FINITE, x));
            out[i] = x;
            continue;
        }
        const float y = more_of(p, picture, row, column + 1);
        const float seen = p.more_values == 3 ? more_of(p, picture, row, column + 2) : 1.0f;
        if (!probable(seen)) atomicMin(fault, fault_key(1, row, 0, improbable(seen), seen));
        if (!near(x, p.limit)) atomicMin(fault, fault_key(1, row, 0, far_away(x), x));
        if (!near(y, p.limit)) atomicMin(fault, fault_key(1, row, 0, far_away(y), y));
        out[3 * i] = x, out[3 * i + 1] = y, out[3 * i + 2] = clamped(seen, 0.0f, 1.0f);
    }
}

__device__ inline u32 more_width(const Select& p) {
    return p.more == MORE_NOTHING ? 0 : p.more == MORE_ANGLE ? 5 : p.more == MORE_KEYPOINTS ? 3 * p.more_count : p.more_count;
}

// What is known to be wrong before anything is ranked.
__device__ inline u64 fault_of(const Select& p, const Counters& counters) {
    if (p.logits && !(counters.flags & SEEN_LOGIT_OUTSIDE)) return fault_key(0, 0, 0, FAULT_ALREADY_SCORES, 0.0f);
    if (counters.fault != NO_FAULT) return counters.fault;
    if (counters.count > p.capacity) return fault_key(1, 0, 0, FAULT_CROWDED, (float)counters.count);
    if (p.pixels && counters.count >= 4 && !(counters.flags & SEEN_PIXELS))
        return fault_key(1, 0, p.pixels - 1, FAULT_NORMALISED, 0.0f);
    return NO_FAULT;
}

// Takes the best as keys; those that DETR judges late are judged here. Returns through `taken`.
__device__ inline void take(const Select& p, Candidate* candidates, u32 count, const Cut& cut, bool all, u64* keys, u32* taken, u64* fault) {
    for (u32 i = threadIdx.x; i < count; i += blockDim.x) {
        Candidate& c = candidates[i];
        if (!all && against(c, cut, p.late) > 0) continue;
        if (p.late) {
            if (!(c.score >= __ldg(p.confidences + c.class_index))) continue;
            for (u32 k = 0; k < 4; k++)
                if (!near(c.bbox[k], p.limit)) atomicMin(fault, fault_key(1, c.row, 1, far_away(c.bbox[k]), c.bbox[k]));
            c.score = clamped(c.score, 0.0f, 1.0f);
        }
        const u32 place = atomicAdd(taken, 1u);
        if (place < p.ranked) keys[place] = (u64)~ordered(c.score) << 32 | i;
    }
}

extern "C" __global__ void __launch_bounds__(256) select_boxes(const Select p) {
    __shared__ u64 keys[MAX_RANKED];
    __shared__ u8 alive[MAX_RANKED];
    __shared__ u16 kept[MAX_RANKED];
    __shared__ u32 histogram[256];
    __shared__ Cut cut;
    __shared__ u32 taken, total;
    __shared__ u64 fault;
    const u32 picture = blockIdx.x, lane = threadIdx.x;
    Counters& counters = p.counters[picture];
    Candidate* candidates = p.candidates + (u64)picture * p.capacity;
    u8* result = p.results + picture * p.result_bytes;
    if (lane == 0) {
        fault = fault_of(p, counters);
        total = fault == NO_FAULT && p.ranked > 0 ? counters.count : 0;
        taken = 0;
        // The next batch begins anew.
        counters.fault = NO_FAULT, counters.count = 0, counters.flags = 0;
    }
    __syncthreads();
    const u32 count = total;
    const bool all = count <= p.ranked;
    if (!all) find_cut(candidates, count, p.ranked, p.late, cut, histogram);
    take(p, candidates, count, cut, all, keys, &taken, &fault);
    __syncthreads();
    const u32 ranked = taken < p.ranked ? taken : p.ranked;
    u32 size = 1;
    while (size < ranked) size *= 2;
    for (u32 i = ranked + lane; i < size; i += blockDim.x) keys[i] = ~0ull;
    __syncthreads();
    sort(candidates, keys, size);
    u32 found;
    if (!p.suppress) {
        found = ranked < p.detections ? ranked : p.detections;
        for (u32 i = lane; i < found; i += blockDim.x) kept[i] = (u16)i;
    } else {
        found = p.more == MORE_ANGLE ? suppress_turned(p, candidates, keys, ranked, alive, kept)
                                     : suppress(p, candidates, keys, ranked, alive, kept);
    }
    __syncthreads();
    Found* boxes = (Found*)(result + sizeof(Header));
    float* more = (float*)(boxes + p.detections);
    for (u32 i = lane; i < found; i += blockDim.x) {
        const Candidate& c = candidates[(u32)keys[kept[i]]];
        for (u32 k = 0; k < 4; k++) boxes[i].bbox[k] = c.bbox[k];
        boxes[i].score = c.score;
        boxes[i].class_index = c.class_index;
        if (p.more != MORE_NOTHING) write_more(p, c.row, more + (u64)i * more_width(p), &fault);
    }
    __syncthreads();
    if (lane == 0) *(Header*)result = Header{fault, fault == NO_FAULT ? found : 0, 0};
}
