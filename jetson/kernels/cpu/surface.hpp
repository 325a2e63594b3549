// What the doubles of libnvbufsurface and of the driver share: an EGLImage, and planes of blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace egret_cpu {

constexpr std::uint64_t MAGIC = 0x6567'7265'745f'6567;
enum Memory : unsigned { HOST = 1, DEVICE = 2, ARRAY = 3 };

// Blocks of 64 bytes by 8 rows, one after the other: whoever takes them for rows sees another picture.
struct Blocks {
    unsigned char* samples;
    std::size_t row_bytes, rows;

    static constexpr std::size_t ACROSS = 64, DOWN = 8;
    std::size_t per_row() const { return (row_bytes + ACROSS - 1) / ACROSS; }
    std::size_t bytes() const { return per_row() * ACROSS * ((rows + DOWN - 1) / DOWN) * DOWN; }
    std::size_t at(std::size_t row, std::size_t x) const {
        return ((row / DOWN) * per_row() + x / ACROSS) * ACROSS * DOWN + (row % DOWN) * ACROSS + x % ACROSS;
    }
    void read(char* to, std::size_t row, std::size_t width) const {
        if (!samples) std::abort();  // the registration is gone
        for (std::size_t x = 0; x < width; ++x) to[x] = static_cast<char>(samples[at(row, x)]);
    }
    void write(const unsigned char* from, std::size_t row) {
        for (std::size_t x = 0; x < row_bytes; ++x) samples[at(row, x)] = from[x];
    }
};

// CUeglFrame of cudaEGL.h.
struct EglFrame {
    void* planes[3];
    unsigned width, height, depth, pitch, plane_count, channels, frame_type, color_format, format;
};
static_assert(sizeof(EglFrame) == 64);

struct Image {
    std::uint64_t magic;
    EglFrame frame;
    Blocks blocks[2];
};

// CUDA_MEMCPY2D of cuda.h.
struct Copy2D {
    std::size_t src_x, src_y;
    unsigned src_type;
    const void* src_host;
    const void* src_device;
    const void* src_array;
    std::size_t src_pitch, dst_x, dst_y;
    unsigned dst_type;
    void* dst_host;
    void* dst_device;
    void* dst_array;
    std::size_t dst_pitch, width, height;
};
static_assert(sizeof(Copy2D) == 128);

}  // namespace egret_cpu
