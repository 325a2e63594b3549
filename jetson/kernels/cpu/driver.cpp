// A CUDA driver for tests, over the kernels compiled for the CPU: the calls that egret makes, on one device of the host's memory.
//
// Work on a stream is done as late as the driver may do it: when somebody waits for the stream or for an event on it. Who reads results
// or writes over staging memory too early, or lets one stream go on without the event of another, sees other bytes.
#include "kernels.cpp"
#include "surface.hpp"

#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>

namespace {

constexpr int INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_HANDLE = 400, NOT_FOUND = 500;
constexpr int ATTRIBUTE_MAJOR = 75, ATTRIBUTE_MINOR = 76;

std::recursive_mutex guard;
int context_handle;
thread_local void* current = nullptr;

struct Stream {
    std::deque<std::function<void()>> work;
    // While it is captured, `work` is what was recorded, and this is what is to be done.
    std::deque<std::function<void()>> held;
    bool capturing = false;

    void run() {
        while (!work.empty()) {
            const std::function<void()> next = std::move(work.front());
            work.pop_front();
            next();
        }
    }
};

// The stream that it was last recorded on, whose work up to the record is done when the count is reached.
struct Event {
    Stream* on = nullptr;
    unsigned long recorded = 0, reached = 0;

    void wait(unsigned long until) {
        while (reached < until && on && !on->work.empty()) {
            const std::function<void()> next = std::move(on->work.front());
            on->work.pop_front();
            next();
        }
    }
};

struct Module {
    std::string ptx;
};

struct Function {
    std::string name;
    std::size_t params;
};

// What was allocated, by address: bytes. Pointers from elsewhere the driver does not know.
std::map<unsigned long long, std::size_t> allocations;

// Registered images are never freed: work that comes too late finds out that they are gone.
struct Resource {
    egret_cpu::Image image;
    bool alive;
};

Stream null_stream;
std::map<std::string, Function> functions;

std::vector<Stream*> streams = {&null_stream};

Stream& of(void* stream) { return stream ? *static_cast<Stream*>(stream) : null_stream; }

}  // namespace

#define CALL EXPORTED int

CALL cuInit(unsigned) { return 0; }
CALL cuDriverGetVersion(int* version) { return *version = 12060, 0; }
CALL cuDeviceGetCount(int* count) { return *count = 1, 0; }
CALL cuDeviceGet(int* device, int ordinal) { return *device = 0, ordinal == 0 ? 0 : INVALID_DEVICE; }
CALL cuDeviceGetName(char* name, int len, int) { return std::strncpy(name, "CPU", static_cast<std::size_t>(len)), 0; }
// An Orin; anything else that is asked for it does not have.
CALL cuDeviceGetAttribute(int* value, int attribute, int) {
    return *value = attribute == ATTRIBUTE_MAJOR ? 8 : attribute == ATTRIBUTE_MINOR ? 7 : 0, 0;
}
CALL cuDevicePrimaryCtxRetain(void** context, int) { return *context = &context_handle, 0; }
CALL cuDevicePrimaryCtxRelease_v2(int) { return 0; }
CALL cuCtxGetCurrent(void** context) { return *context = current, 0; }
CALL cuCtxSetCurrent(void* context) { return current = context, 0; }
// cudarc calls it when the first stream of a context is made.
CALL cuCtxSynchronize() {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    for (Stream* stream : streams) stream->run();
    return 0;
}
CALL cuGetErrorName(int, const char** name) { return *name = "an error", 0; }
CALL cuGetErrorString(int, const char** text) { return *text = "an error of the double", 0; }

CALL cuStreamCreate(void** stream, unsigned) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    streams.push_back(new Stream);
    return *stream = streams.back(), 0;
}
CALL cuStreamSynchronize(void* stream) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    return of(stream).run(), 0;
}
CALL cuStreamDestroy_v2(void* stream) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    of(stream).run();
    // Events may still speak of it: it stays.
    return 0;
}

CALL cuEventCreate(void** event, unsigned) { return *event = new Event, 0; }
CALL cuEventRecord(void* event, void* stream) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    Event* own = static_cast<Event*>(event);
    own->on = &of(stream);
    const unsigned long number = ++own->recorded;
    return own->on->work.push_back([own, number] { own->reached = number; }), 0;
}
CALL cuEventSynchronize(void* event) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    Event* own = static_cast<Event*>(event);
    return own->wait(own->recorded), 0;
}
CALL cuEventQuery(void* event) { return cuEventSynchronize(event); }
CALL cuEventDestroy_v2(void*) { return 0; }  // streams may still speak of it
CALL cuStreamWaitEvent(void* stream, void* event, unsigned) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    Event* own = static_cast<Event*>(event);
    const unsigned long until = own->recorded;
    return of(stream).work.push_back([own, until] { own->wait(until); }), 0;
}

CALL cuMemAlloc_v2(unsigned long long* address, std::size_t bytes) {
    void* memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (!memory) return OUT_OF_MEMORY;
    std::memset(memory, 0xa5, bytes);
    const std::lock_guard<std::recursive_mutex> lock(guard);
    *address = reinterpret_cast<unsigned long long>(memory);
    return allocations[*address] = bytes, 0;
}
CALL cuMemFree_v2(unsigned long long address) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    return allocations.erase(address), std::free(reinterpret_cast<void*>(address)), 0;
}
CALL cuMemHostAlloc(void** memory, std::size_t bytes, unsigned) {
    *memory = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (!*memory) return OUT_OF_MEMORY;
    const std::lock_guard<std::recursive_mutex> lock(guard);
    return allocations[reinterpret_cast<unsigned long long>(*memory)] = bytes, 0;
}
CALL cuMemFreeHost(void* memory) { return cuMemFree_v2(reinterpret_cast<unsigned long long>(memory)); }
// The attributes 1 (context), 11 and 12 (the allocation) of pointers that were allocated here.
CALL cuPointerGetAttribute(void* value, int attribute, unsigned long long pointer) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    auto after = allocations.upper_bound(pointer);
    if (after == allocations.begin() || pointer >= std::prev(after)->first + std::prev(after)->second) return INVALID_VALUE;
    const auto& [address, bytes] = *std::prev(after);
    switch (attribute) {
        case 1: *static_cast<void**>(value) = &context_handle; return 0;
        case 11: *static_cast<unsigned long long*>(value) = address; return 0;
        case 12: *static_cast<std::size_t*>(value) = bytes; return 0;
        default: return INVALID_VALUE;
    }
}
CALL cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, std::size_t bytes, void* stream) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    return of(stream).work.push_back([=] { std::memcpy(reinterpret_cast<void*>(to), from, bytes); }), 0;
}
CALL cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, std::size_t bytes, void* stream) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    return of(stream).work.push_back([=] { std::memcpy(to, reinterpret_cast<void*>(from), bytes); }), 0;
}

CALL cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, std::size_t bytes, void* stream) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    return of(stream).work.push_back([=] { std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes); }), 0;
}

// Rows from memory or from an array of blocks.
CALL cuMemcpy2DAsync_v2(const egret_cpu::Copy2D* wanted, void* stream) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    const egret_cpu::Copy2D copy = *wanted;
    const bool array = copy.src_type == egret_cpu::ARRAY;
    const auto* from = reinterpret_cast<const egret_cpu::Blocks*>(copy.src_array);
    if (!copy.width || !copy.height || copy.dst_type == egret_cpu::ARRAY || copy.dst_pitch < copy.width) return INVALID_VALUE;
    if (array ? from->row_bytes < copy.width || from->rows < copy.height : copy.src_pitch < copy.width) return INVALID_VALUE;
    of(stream).work.push_back([=] {
        const char* source = static_cast<const char*>(copy.src_type == egret_cpu::HOST ? copy.src_host : copy.src_device);
        char* target = static_cast<char*>(copy.dst_type == egret_cpu::HOST ? copy.dst_host : copy.dst_device);
        for (std::size_t row = 0; row < copy.height; ++row) {
            if (array) from->read(target + row * copy.dst_pitch, row, copy.width);
            else std::memcpy(target + row * copy.dst_pitch, source + row * copy.src_pitch, copy.width);
        }
    });
    return 0;
}

CALL cuGraphicsEGLRegisterImage(void** resource, void* image, unsigned) {
    const auto* own = static_cast<const egret_cpu::Image*>(image);
    if (!own || own->magic != egret_cpu::MAGIC) return INVALID_HANDLE;
    return *resource = new Resource{*own, true}, 0;
}
CALL cuGraphicsResourceGetMappedEglFrame(egret_cpu::EglFrame* frame, void* resource, unsigned, unsigned) {
    auto* own = static_cast<Resource*>(resource);
    if (!own->alive) return INVALID_HANDLE;
    *frame = own->image.frame;
    for (int plane = 0; own->image.frame.frame_type == 0 && plane < 2; ++plane) frame->planes[plane] = &own->image.blocks[plane];
    return 0;
}
CALL cuGraphicsUnregisterResource(void* resource) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    auto* own = static_cast<Resource*>(resource);
    if (!own->alive) return INVALID_HANDLE;
    own->alive = false;
    for (auto& blocks : own->image.blocks) blocks.samples = nullptr;
    return 0;
}

CALL cuModuleLoadData(void** module, const void* image) {
    std::string ptx = static_cast<const char*>(image);
    if (ptx.find(".target sm_87") == std::string::npos) return INVALID_IMAGE;
    return *module = new Module{std::move(ptx)}, 0;
}
CALL cuModuleUnload(void* module) { return delete static_cast<Module*>(module), 0; }
CALL cuModuleGetFunction(void** function, void* module, const char* name) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    if (static_cast<Module*>(module)->ptx.find(std::string(".entry ") + name + "(") == std::string::npos) return NOT_FOUND;
    for (const Kernel& known : KERNELS)
        if (std::strcmp(known.name, name) == 0) functions[name] = {name, known.params};
    return functions.count(name) ? (*function = &functions[name], 0) : NOT_FOUND;
}
CALL cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                    void* stream, void** params, void**) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    const Function* own = static_cast<const Function*>(function);
    if (!own || shared || !gx || !gy || !gz || gy > 65535 || gz > 65535 || bx * by * bz > 256) return own ? INVALID_VALUE : INVALID_HANDLE;
    const char* bytes = static_cast<const char*>(params[0]);
    const std::string copy(bytes, own->params);
    of(stream).work.push_back([=] {
        // Aligned as the structs ask for.
        std::vector<unsigned long long> words((copy.size() + 7) / 8);
        std::memcpy(words.data(), copy.data(), copy.size());
        const unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
        if (egret_launch(own->name.c_str(), grid, block, words.data(), copy.size(), 0) != 0) std::abort();
    });
    return 0;
}

CALL cuLaunchHostFunc(void* stream, void (*function)(void*), void* user) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    return of(stream).work.push_back([=] { function(user); }), 0;
}

// A graph and its executable form are the same list of work.
CALL cuStreamBeginCapture_v2(void* stream, int) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    Stream& own = of(stream);
    if (&own == &null_stream || own.capturing) return INVALID_VALUE;
    own.capturing = true;
    return own.held.swap(own.work), 0;
}
CALL cuStreamIsCapturing(void* stream, int* status) { return *status = of(stream).capturing, 0; }
CALL cuStreamEndCapture(void* stream, void** graph) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    Stream& own = of(stream);
    if (!own.capturing) return INVALID_VALUE;
    own.capturing = false;
    *graph = new std::deque<std::function<void()>>(std::move(own.work));
    own.work = std::move(own.held);
    return own.held.clear(), 0;
}
CALL cuGraphInstantiateWithFlags(void** made, void* graph, unsigned long long) { return *made = graph, 0; }
CALL cuGraphLaunch(void* graph, void* stream) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    const auto& recorded = *static_cast<std::deque<std::function<void()>>*>(graph);
    return of(stream).work.insert(of(stream).work.end(), recorded.begin(), recorded.end()), 0;
}
CALL cuGraphExecDestroy(void*) { return 0; }
CALL cuGraphDestroy(void* graph) { return delete static_cast<std::deque<std::function<void()>>*>(graph), 0; }
