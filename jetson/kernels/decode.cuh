// What the decoding kernels are told. The host lays these structs out alike (`src/kernels/decode/params.rs`).
//
// Two launches decode a batch. A scanning kernel reads the outputs, one thread for each row of each picture, and leaves what is worth
// telling as candidates; `select_boxes` ranks those of each picture, suppresses duplicates, and leaves a result of fixed size.
#pragma once

#include "elements.cuh"

static const u32 MAX_OUTPUTS = 16;
static const u32 MAX_GRIDS = 8;
static const u32 MAX_ANCHORS = 16;
// Candidates of a picture that can be ranked.
static const u32 MAX_RANKED = 4096;

// An output of a network, `[N,...]`.
struct Output {
    const void* data;
    u64 per_picture;  // elements of a picture; 0: the output is of the whole batch
    u32 element;      // 0: 32-bit floats, 1: 16-bit floats, 2: 32-bit integers, 3: 64-bit integers
    u32 reserved;
};

// One grid of cells.
struct Grid {
    u32 first;    // its first row among those of all grids
    u32 columns;  // cells along a row
    u32 cells;
    float stride;  // pixels of a cell
};

// A box that a scan found. Boxes are left, top, right, bottom in pixels of the network's input.
struct Candidate {
    float bbox[4];
    float score;
    u32 class_index;
    u32 row;  // anchor, query, cell or row that it came from
    u32 reserved;
};

// What the scan of a picture leaves beside candidates; `select_boxes` clears it.
struct Counters {
    u64 fault;   // the least of all reported, see `fault_key`
    u32 count;   // candidates, also those for which there was no room
    u32 flags;   // SEEN_*
};

static const u32 SEEN_LOGIT_OUTSIDE = 1;  // a logit outside 0..1
static const u32 SEEN_PIXELS = 2;         // an edge more than a pixel from the corner
static const u64 NO_FAULT = ~0ull;

// Where a value of a row lies: element `row*step + at` of an output.
struct Place {
    u32 output, step, at;
};

enum Activation : u32 { ACTIVATION_NONE, ACTIVATION_SIGMOID, ACTIVATION_SOFTMAX };

struct Scan {
    Output outputs[MAX_OUTPUTS];
    Candidate* candidates;     // [N,capacity]
    Counters* counters;        // [N]
    const float* confidences;  // what each class needs
    const float* priors;       // [rows,4], or null
    u32 capacity;
    u32 rows;     // of a picture
    u32 classes;
    u32 columns;  // values of a row
    float lowest;     // what no class needs less than
    float lowest_ln;  // its logarithm
    float limit;      // how far from the origin an edge may be, in pixels
    float width;      // of the network's input
    float height;
    u32 grid_count;
    Grid grids[MAX_GRIDS];
    float anchors[MAX_GRIDS][MAX_ANCHORS][2];  // width and height in pixels
    u32 anchor_count;  // of each grid
    u32 by_column;     // the values of a column lie together, not those of a row
    u32 activation;    // Activation
    u32 background;    // class 0 of the output is the background
    u32 y_first;       // boxes are y, x, h, w
    u32 clip;          // boxes are cut at the picture's edge
    u32 joined;        // scores and edges are one output
    u32 angle;         // boxes are turned; the angle's column, or 0
    u32 bins;
    u32 first_class;   // what the first class is called in the output
    u32 has_count;     // output 0 is the number of rows that count
    u32 whole;         // rows are of the whole batch
    u32 picture_place; // the column of a row's picture plus 1, or 0
    float variances[2];
    float scale[2];   // pixels per unit of x and y
    float point;      // where in its cell a prediction's point lies; pixels from a cell's corner (coverage)
    Place score;      // of final rows
    Place class_index;
    Place edges[4];
};

// What belongs to a box beside it.
enum More : u32 { MORE_NOTHING, MORE_ANGLE, MORE_KEYPOINTS, MORE_COEFFICIENTS };

// Centre and Gaussian of a turned box.
struct Turned {
    float x, y, a, b, c, own;
};

struct Select {
    Output table;  // where what belongs to boxes is read
    Candidate* candidates;
    Counters* counters;
    const float* confidences;
    Turned* turned;  // [N,MAX_RANKED], of turned boxes
    u8* results;     // [N,result_bytes]
    u64 result_bytes;
    u32 capacity;
    u32 ranked;      // how many candidates take part
    u32 detections;  // how many boxes remain at most
    u32 suppress;    // 0: boxes are final
    u32 class_agnostic;
    float iou;
    float limit;
    u32 late;        // top-k comes before the confidences of classes (DETR)
    u32 logits;      // how many a picture has, where they must not all be scores already; else 0
    u32 pixels;      // 1 plus the output whose boxes must be in pixels; 0: none
    u32 more;        // More
    u32 more_at;     // its first column
    u32 more_count;  // key points or coefficients
    u32 more_values; // of a key point
    u32 rows;        // of the table
    u32 columns;
    u32 by_column;
    u32 reserved;
};

// A result: a header, `detections` boxes, and as many times what belongs to a box.
struct Header {
    u64 fault;
    u32 count;
    u32 reserved;
};

struct Found {
    float bbox[4];
    float score;
    u32 class_index;
};

// The same sizes are asserted on the host.
static_assert(sizeof(Scan) == 1752 && sizeof(Select) == 144, "laid out as on the host");
static_assert(sizeof(Candidate) == 32 && sizeof(Counters) == 16 && sizeof(Turned) == 24, "laid out as on the host");
static_assert(sizeof(Header) == 16 && sizeof(Found) == 24, "laid out as on the host");
