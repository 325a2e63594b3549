// A stand-in for libnvbufsurface, for tests: surfaces of every kind in host memory, in the very structs of L4T R35 and R36, the two
// functions for EGLImages, and functions of its own that make, fill, read and count them. Device memory is the driver double's.
#include "../../kernels/cpu/surface.hpp"

#include <dlfcn.h>

#include <atomic>
#include <cstdio>

using egret_cpu::Blocks;
using egret_cpu::Image;

namespace {

struct Planes {
    std::uint32_t count, width[4], height[4], pitch[4], offset[4], bytes[4], bytes_per_pixel[4];
    void* reserved[16];
};
struct Mapped {
    void* address[4];
    void* egl_image;
    void* reserved[4];
};
struct Params {
    std::uint32_t width, height, pitch, format, layout;
    std::uint64_t descriptor;
    std::uint32_t data_bytes;
    void* data;
    Planes planes;
    Mapped mapped;
    void* extra;
    void* reserved[3];
};
struct Surface {
    std::uint32_t gpu, batch, filled;
    bool contiguous;
    std::uint32_t memory;
    Params* list;
    void* reserved[4];
};
// The sizes and offsets of NVIDIA's header.
static_assert(sizeof(Planes) == 232 && sizeof(Mapped) == 72 && sizeof(Params) == 384 && sizeof(Surface) == 64);
static_assert(offsetof(Surface, memory) == 16 && offsetof(Surface, list) == 24);
static_assert(offsetof(Params, layout) == 16 && offsetof(Params, descriptor) == 24 && offsetof(Params, data_bytes) == 32);
static_assert(offsetof(Params, data) == 40 && offsetof(Params, planes) == 48 && offsetof(Params, mapped) == 280);
static_assert(offsetof(Params, mapped) + offsetof(Mapped, egl_image) == 312 && offsetof(Params, extra) == 352);

enum { DEFAULT, PINNED, DEVICE, UNIFIED, SURFACE_ARRAY, HANDLE, SYSTEM };

struct Own {
    Surface surface;
    Params params;
    Blocks blocks[2];
    unsigned char* linear;
};

std::atomic<long> alive, mapped, map_fails, next_descriptor{100};

template <typename F>
F driver(const char* name) {
    void* found = dlsym(RTLD_DEFAULT, name);
    if (!found) std::fprintf(stderr, "the double of libnvbufsurface needs %s\n", name), std::abort();
    return reinterpret_cast<F>(found);
}

unsigned char* allocate(std::uint32_t kind, std::size_t bytes) {
    unsigned char* memory = nullptr;
    if (kind == SYSTEM) return static_cast<unsigned char*>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
    if (kind == PINNED) driver<int (*)(void**, std::size_t, unsigned)>("cuMemHostAlloc")(reinterpret_cast<void**>(&memory), bytes, 0);
    else driver<int (*)(void**, std::size_t)>("cuMemAlloc_v2")(reinterpret_cast<void**>(&memory), bytes);
    return memory;
}

void release(std::uint32_t kind, unsigned char* memory) {
    if (kind == SYSTEM) std::free(memory);
    else driver<int (*)(void*)>(kind == PINNED ? "cuMemFreeHost" : "cuMemFree_v2")(memory);
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED int NvBufSurfaceMapEglImage(Surface* surface, int index) {
    Own* own = reinterpret_cast<Own*>(surface);
    if (map_fails > 0) return --map_fails, -1;
    if (surface->memory != SURFACE_ARRAY || index != 0 || own->params.mapped.egl_image) return -1;
    Image* image = new Image{};
    image->magic = egret_cpu::MAGIC;
    const bool blocks = own->params.layout == 1;
    image->frame = {{}, own->params.width, own->params.height, 1, own->params.pitch, 2, 1, blocks ? 0u : 1u, 1, 1};
    for (int plane = 0; plane < 2; ++plane) {
        image->blocks[plane] = own->blocks[plane];
        if (!blocks) image->frame.planes[plane] = own->linear + own->params.planes.offset[plane];
    }
    own->params.mapped.egl_image = image;
    return ++mapped, 0;
}

EXPORTED int NvBufSurfaceUnMapEglImage(Surface* surface, int index) {
    Own* own = reinterpret_cast<Own*>(surface);
    if (index != 0 || !own->params.mapped.egl_image) return -1;
    Image* image = static_cast<Image*>(own->params.mapped.egl_image);
    image->magic = 0;
    delete image;
    own->params.mapped.egl_image = nullptr;
    return --mapped, 0;
}

// A surface of NV12 with a pitch of whole 256 bytes.
EXPORTED Surface* egret_surface_new(std::uint32_t width, std::uint32_t height, std::uint32_t memory, std::uint32_t layout, std::uint32_t format) {
    Own* own = new Own{};
    Params& params = own->params;
    const std::uint32_t pitch = (width + 256) / 256 * 256, rows[2] = {height, (height + 1) / 2}, across[2] = {width, (width + 1) / 2};
    params.planes.count = 2;
    std::uint32_t offset = 0;
    for (std::uint32_t plane = 0; plane < 2; ++plane) {
        own->blocks[plane] = {nullptr, across[plane] * (plane + 1), rows[plane]};
        const std::uint32_t bytes = layout ? (static_cast<std::uint32_t>(own->blocks[plane].bytes()) + 255) / 256 * 256 : pitch * rows[plane];
        params.planes.width[plane] = across[plane], params.planes.height[plane] = rows[plane];
        params.planes.pitch[plane] = pitch, params.planes.offset[plane] = offset, params.planes.bytes[plane] = bytes;
        params.planes.bytes_per_pixel[plane] = plane + 1;
        offset += bytes;
    }
    own->linear = allocate(memory, offset);
    for (int plane = 0; plane < 2; ++plane) own->blocks[plane].samples = own->linear + params.planes.offset[plane];
    params.width = width, params.height = height, params.pitch = pitch, params.format = format, params.layout = layout;
    params.descriptor = static_cast<std::uint64_t>(++next_descriptor), params.data_bytes = offset;
    params.data = memory == SURFACE_ARRAY || memory == HANDLE ? nullptr : own->linear;
    own->surface = {0, 1, 1, true, memory, &params, {}};
    return ++alive, &own->surface;
}

// A surface that goes while somebody has its EGLImage ends the process: its registration was to go first.
EXPORTED void egret_surface_free(Surface* surface) {
    Own* own = reinterpret_cast<Own*>(surface);
    if (own->params.mapped.egl_image) std::fprintf(stderr, "a surface is freed that is mapped\n"), std::abort();
    release(surface->memory, own->linear);
    std::memset(static_cast<void*>(own), 0xdd, sizeof *own);
    delete own;
    --alive;
}

// Rows in and out, each plane with its own pitch.
EXPORTED void egret_surface_fill(Surface* surface, int plane, const unsigned char* from, std::size_t pitch) {
    Own* own = reinterpret_cast<Own*>(surface);
    Blocks& blocks = own->blocks[plane];
    for (std::size_t row = 0; row < blocks.rows; ++row) {
        if (own->params.layout == 1) blocks.write(from + row * pitch, row);
        else std::memcpy(blocks.samples + row * own->params.planes.pitch[plane], from + row * pitch, blocks.row_bytes);
    }
}
EXPORTED void egret_surface_read(Surface* surface, int plane, unsigned char* to, std::size_t pitch) {
    const Own* own = reinterpret_cast<const Own*>(surface);
    const Blocks& blocks = own->blocks[plane];
    for (std::size_t row = 0; row < blocks.rows; ++row) {
        if (own->params.layout == 1) blocks.read(reinterpret_cast<char*>(to + row * pitch), row, blocks.row_bytes);
        else std::memcpy(to + row * pitch, blocks.samples + row * own->params.planes.pitch[plane], blocks.row_bytes);
    }
}

// 0: surfaces that live, 1: EGLImages that live.
EXPORTED long egret_surface_count(int what) { return what ? mapped : alive; }
// So many of the next mappings fail.
EXPORTED void egret_surface_map_fails(long times) { map_fails = times; }
