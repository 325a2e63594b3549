// What the letterbox kernels are told. The host lays these structs out alike (`src/kernels/letterbox.rs`).
#pragma once

#include "elements.cuh"

// One axis of a picture on its way into the input. All in pixels.
struct Axis {
    u32 start;   // first source pixel
    u32 len;     // source pixels
    u32 scaled;  // pixels that they are scaled to
    u32 cut;     // how many of those are cut off before the first that is drawn
    u32 drawn;   // how many are drawn
    u32 at;      // where the first of them goes
};

// One plane of the tensor: `(y*luma + u*.. + v*..) + base`, within what 0..255 becomes; y, u and v in 1/256 of a level.
struct Channel {
    float luma, u, v, base, least, most;
};

// One picture, or a rectangle of one, and the slot of the tensor that it fills.
struct Slot {
    const u8* y;
    const u8* u;  // NV12: u and v interleaved
    const u8* v;  // NV12: null
    u32 y_pitch;  // bytes from row to row
    u32 chroma_pitch;
    Axis across;
    Axis down;
    Channel channels[3];  // in the order of the tensor
    float padding[3];
    u32 pad;  // whether the padding is to be written; else it is there already
};

struct Letterbox {
    const Slot* slots;
    void* out;
    u32 width;  // of the tensor
    u32 height;
    float quantum;
    u32 reserved;
};

// The same sizes are asserted on the host.
static_assert(sizeof(Slot) == 168 && sizeof(Letterbox) == 32, "laid out as on the host");

// Rows of the tensor that one thread draws.
static const u32 LETTERBOX_ROWS = 4;
