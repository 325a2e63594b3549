// From decoded pictures of any sizes to the input tensor of a network, one launch for the batch: each picture or rectangle scaled
// bilinearly (pixel centres at one half, edges repeated, no antialiasing), converted to RGB, normalised, padded.
//
// The arithmetic is that of the CPU's letterbox, operation by operation: rows are blended by weights in 1/256 to integers, columns by
// floats, and the result is converted once per output pixel. Compiled without contraction to fused multiply-adds (`--fmad=false`),
// both give the same floats.
//
// Grid: columns and rows of the tensor, and one layer per slot. The lanes of a warp draw neighbouring columns, so that its loads stay
// within one or two cache lines at any scale up to 4 and its stores are whole lines; a thread draws LETTERBOX_ROWS rows with the same
// column taps.
#include "letterbox.cuh"

// Two source samples of an axis and the weight of the second.
struct Tap {
    u32 first, second;
    float weight;
};

// Output position `out` lies at (2(out+cut)+1)*len / (2*scaled) - 1/2 source pixels: exact in integers.
__device__ inline Tap tap(const Axis& axis, u32 out) {
    const u64 twice = (u64)(2 * (out + axis.cut) + 1) * axis.len;
    const u32 last = axis.start + axis.len - 1;
    if (twice <= axis.scaled) return Tap{axis.start, axis.start, 0.0f};
    const u64 position = twice - axis.scaled;
    const u32 unit = 2 * axis.scaled;
    u32 first, rest;
    if (position >> 32 == 0) {  // all but extreme scales: a 64-bit division is slow
        first = (u32)position / unit;
        rest = (u32)position - first * unit;
    } else {
        first = (u32)(position / unit);
        rest = (u32)(position - (u64)first * unit);
    }
    if (first >= axis.len - 1) return Tap{last, last, 0.0f};
    return Tap{axis.start + first, axis.start + first + 1, (float)rest / (float)unit};
}

// `upper*(256-weight) + lower*weight`: in 1/256 of a level.
__device__ inline u32 blend(u32 upper, u32 lower, u32 weight) { return upper * (256 - weight) + lower * weight; }

__device__ inline float blend(u32 left, u32 right, float weight) {
    return (float)left + ((float)right - (float)left) * weight;
}

__device__ inline float convert(const Channel& c, float y, float u, float v) {
    return fminf(fmaxf(y * c.luma + u * c.u + v * c.v + c.base, c.least), c.most);
}

// The rows of the three planes that an output row is made of.
struct Rows {
    const u8 *y[2], *u[2], *v[2];
    u32 weight;
};

__device__ inline Rows rows_of(const Slot& slot, u32 out) {
    const Tap row = tap(slot.down, out);
    const size_t upper = row.first / 2 * (size_t)slot.chroma_pitch, lower = row.second / 2 * (size_t)slot.chroma_pitch;
    return Rows{
        {slot.y + row.first * (size_t)slot.y_pitch, slot.y + row.second * (size_t)slot.y_pitch},
        {slot.u + upper, slot.u + lower},
        {slot.v + upper, slot.v + lower},
        (u32)roundf(row.weight * 256.0f),
    };
}

struct Colour {
    float y, u, v;
};

__device__ inline Colour sample(const Rows& rows, const Tap& column, bool interleaved) {
    const u32 w = rows.weight, left = column.first / 2, right = column.second / 2;
    const u32 y[2] = {blend(__ldg(rows.y[0] + column.first), __ldg(rows.y[1] + column.first), w),
                      blend(__ldg(rows.y[0] + column.second), __ldg(rows.y[1] + column.second), w)};
    u32 u[2], v[2];
    if (interleaved) {
        // U and V of a sample as one load, and both blended by one multiplication: neither half overflows.
        const u16 *upper = (const u16*)rows.u[0], *lower = (const u16*)rows.u[1];
        const u32 a = __ldg(upper + left), b = __ldg(lower + left), c = __ldg(upper + right), d = __ldg(lower + right);
        const u32 first = blend((a & 0xff) | (a & 0xff00) << 8, (b & 0xff) | (b & 0xff00) << 8, w);
        const u32 second = blend((c & 0xff) | (c & 0xff00) << 8, (d & 0xff) | (d & 0xff00) << 8, w);
        u[0] = first & 0xffff, v[0] = first >> 16, u[1] = second & 0xffff, v[1] = second >> 16;
    } else {
        u[0] = blend(__ldg(rows.u[0] + left), __ldg(rows.u[1] + left), w);
        u[1] = blend(__ldg(rows.u[0] + right), __ldg(rows.u[1] + right), w);
        v[0] = blend(__ldg(rows.v[0] + left), __ldg(rows.v[1] + left), w);
        v[1] = blend(__ldg(rows.v[0] + right), __ldg(rows.v[1] + right), w);
    }
    return Colour{blend(y[0], y[1], column.weight), blend(u[0], u[1], column.weight), blend(v[0], v[1], column.weight)};
}

// Neighbouring cells as one store.
template <class Cell>
struct alignas(2 * sizeof(Cell)) Pair {
    Cell first, second;
};

template <class Cell>
__device__ inline void put(Cell* out, const Cell* cells, u32 count, bool paired) {
    if (paired && count == 2) {
        *(Pair<Cell>*)out = Pair<Cell>{cells[0], cells[1]};
    } else {
        for (u32 i = 0; i < count; i++) out[i] = cells[i];
    }
}

// `[N,3,H,W]`, or with `INTERLEAVED` `[N,H,W,3]`.
template <class Element, bool INTERLEAVED>
__device__ inline void letterbox(const Letterbox& p) {
    typedef typename Element::Cell Cell;
    const u32 each = Element::per_thread;
    const Slot& slot = p.slots[blockIdx.z];
    const u32 left = (blockIdx.x * blockDim.x + threadIdx.x) * each;
    if (left >= p.width) return;
    const u32 count = p.width - left < each ? p.width - left : each;
    const bool paired = p.width % 2 == 0;
    Tap columns[Element::per_thread];
    bool inside[Element::per_thread];
    bool any = false;
    for (u32 i = 0; i < each; i++) {
        // Left of the picture the difference wraps round.
        inside[i] = i < count && left + i - slot.across.at < slot.across.drawn;
        any = any || inside[i];
        if (inside[i]) columns[i] = tap(slot.across, left + i - slot.across.at);
    }
    const size_t plane = (size_t)p.width * p.height;
    Cell* out = (Cell*)p.out + 3 * plane * blockIdx.z;
    for (u32 r = 0; r < LETTERBOX_ROWS; r++) {
        const u32 y = (blockIdx.y * LETTERBOX_ROWS + r) * blockDim.y + threadIdx.y;
        if (y >= p.height) return;
        const bool covered = any && y - slot.down.at < slot.down.drawn;
        if (!covered && !slot.pad) continue;
        Cell cells[3][Element::per_thread];
        if (covered) {
            const Rows rows = rows_of(slot, y - slot.down.at);
            for (u32 i = 0; i < each; i++) {
                const Colour colour = inside[i] ? sample(rows, columns[i], slot.v == 0) : Colour{0.0f, 0.0f, 0.0f};
                for (u32 c = 0; c < 3; c++) {
                    const float value = convert(slot.channels[c], colour.y, colour.u, colour.v);
                    cells[c][i] = Element::of(inside[i] ? value : slot.padding[c], p.quantum);
                }
            }
        } else {
            for (u32 i = 0; i < each; i++)
                for (u32 c = 0; c < 3; c++) cells[c][i] = Element::of(slot.padding[c], p.quantum);
        }
        const size_t pixel = (size_t)y * p.width + left;
        if (INTERLEAVED) {
            for (u32 i = 0; i < count; i++)
                for (u32 c = 0; c < 3; c++) out[3 * (pixel + i) + c] = cells[c][i];
        } else {
            for (u32 c = 0; c < 3; c++) put(out + c * plane + pixel, cells[c], count, paired);
        }
    }
}

#define LETTERBOX(name, Element, INTERLEAVED) \
    extern "C" __global__ void __launch_bounds__(256) name(const Letterbox p) { letterbox<Element, INTERLEAVED>(p); }

LETTERBOX(letterbox_planar_f32, F32, false)
LETTERBOX(letterbox_planar_f16, F16, false)
LETTERBOX(letterbox_planar_i8, I8, false)
LETTERBOX(letterbox_planar_u8, U8, false)
LETTERBOX(letterbox_interleaved_f32, F32, true)
LETTERBOX(letterbox_interleaved_f16, F16, true)
LETTERBOX(letterbox_interleaved_i8, I8, true)
LETTERBOX(letterbox_interleaved_u8, U8, true)
