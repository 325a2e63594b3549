// A CUDA driver for tests, over the kernels compiled for the CPU: the calls that egret makes, on devices of the host's memory.
//
// Work on a stream is done as late as the driver may do it: when somebody waits for the stream or for an event on it. Who reads results
// or writes over staging memory too early, or lets one stream go on without the event of another, sees other bytes. With the knob
// `threads` each stream that is made from then on works by itself, on a thread of its own, as a device's do.
#include "kernels.cpp"
#include "surface.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

namespace {

constexpr int INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_HANDLE = 400, NOT_FOUND = 500,
              NOT_READY = 600, ILLEGAL_ADDRESS = 700, CAPTURE_INVALIDATED = 901;
constexpr int ATTRIBUTE_MAJOR = 75, ATTRIBUTE_MINOR = 76;

// These outlive the streams' threads, which nobody joins.
std::recursive_mutex& guard = *new std::recursive_mutex;
std::condition_variable_any& changed = *new std::condition_variable_any;
using Lock = std::unique_lock<std::recursive_mutex>;
constexpr int MOST_DEVICES = 4;
int context_handles[MOST_DEVICES];
thread_local void* current = nullptr;

// What a test can turn, and read.
struct Knobs {
    std::atomic<long long> threads{0};         // streams that are made work by themselves
    std::atomic<long long> lost{0};            // every call fails with this code
    std::atomic<long long> lost_after{-1};     // after so many kernels the next one is an illegal memory access
    std::atomic<long long> memory{-1};         // bytes of device memory that there are
    std::atomic<long long> devices{1};         // how many there are, at most 4
    std::atomic<long long> capture_fails{0};   // recordings come out invalid
    std::atomic<long long> launches{0}, allocations{0}, waits{0}, to_device{0}, to_host{0}, used{0};
} knobs;

std::map<std::string, std::atomic<long long>*> names = {
    {"threads", &knobs.threads},   {"lost", &knobs.lost},         {"lost_after", &knobs.lost_after},
    {"memory", &knobs.memory},     {"launches", &knobs.launches}, {"allocations", &knobs.allocations},
    {"waits", &knobs.waits},       {"to_device", &knobs.to_device}, {"to_host", &knobs.to_host},
    {"used", &knobs.used},         {"capture_fails", &knobs.capture_fails}, {"devices", &knobs.devices},
};

struct Stream {
    std::deque<std::function<void()>> work;
    // While it is captured, what is put on it goes here instead.
    std::deque<std::function<void()>> recorded;
    bool capturing = false;
    // Whether a thread does the work.
    bool threaded = false;

    void put(std::function<void()> task) {
        (capturing ? recorded : work).push_back(std::move(task));
        changed.notify_all();
    }

    // Waits until all is done.
    void run(Lock& lock) {
        if (threaded) return changed.wait(lock, [this] { return work.empty(); });
        while (!work.empty()) {
            const std::function<void()> next = std::move(work.front());
            work.pop_front();
            next();
        }
    }

    void begin() {
        threaded = true;
        std::thread([this] {
            Lock lock(guard);
            for (;;) {
                changed.wait(lock, [this] { return !work.empty(); });
                const std::function<void()> next = work.front();
                lock.unlock();
                next();
                lock.lock();
                work.pop_front();
                changed.notify_all();
            }
        }).detach();
    }
};

// The stream that it was last recorded on, whose work up to the record is done when the count is reached.
struct Event {
    Stream* on = nullptr;
    unsigned long recorded = 0, reached = 0;
    std::chrono::steady_clock::time_point at{};

    void wait(Lock& lock, unsigned long until) {
        if (on && on->threaded) return changed.wait(lock, [this, until] { return reached >= until; });
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

// What was allocated, by address. Pointers from elsewhere the driver does not know.
struct Allocation {
    std::size_t bytes;
    void* context;
};
std::map<unsigned long long, Allocation> allocations;

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
// After an error that a context does not survive, all its calls fail.
#define ALIVE \
    if (knobs.lost != 0) return static_cast<int>(knobs.lost)

CALL egret_driver_set(const char* name, long long value) {
    const Lock lock(guard);
    const auto found = names.find(name);
    return found == names.end() ? 1 : (found->second->store(value), 0);
}
CALL egret_driver_get(const char* name, long long* value) {
    const auto found = names.find(name);
    return found == names.end() ? 1 : (*value = found->second->load(), 0);
}

CALL cuInit(unsigned) { return 0; }
CALL cuDriverGetVersion(int* version) { return *version = 12060, 0; }
CALL cuDeviceGetCount(int* count) { return *count = static_cast<int>(knobs.devices), 0; }
CALL cuDeviceGet(int* device, int ordinal) {
    return *device = ordinal, ordinal >= 0 && ordinal < MOST_DEVICES && ordinal < knobs.devices ? 0 : INVALID_DEVICE;
}
CALL cuDeviceGetName(char* name, int len, int) { return std::strncpy(name, "CPU", static_cast<std::size_t>(len)), 0; }
// An Orin; anything else that is asked for it does not have.
CALL cuDeviceGetAttribute(int* value, int attribute, int) {
    return *value = attribute == ATTRIBUTE_MAJOR ? 8 : attribute == ATTRIBUTE_MINOR ? 7 : 0, 0;
}
CALL cuDevicePrimaryCtxRetain(void** context, int device) { return *context = &context_handles[device], 0; }
CALL cuDevicePrimaryCtxRelease_v2(int) { return 0; }
CALL cuCtxGetCurrent(void** context) { return *context = current, 0; }
CALL cuCtxSetCurrent(void* context) { return current = context, 0; }
// cudarc calls it when the first stream of a context is made.
CALL cuCtxSynchronize() {
    ALIVE;
    Lock lock(guard);
    knobs.waits++;
    for (Stream* stream : streams) stream->run(lock);
    return 0;
}
CALL cuGetErrorName(int, const char** name) { return *name = "an error", 0; }
CALL cuGetErrorString(int, const char** text) { return *text = "an error of the double", 0; }

CALL cuStreamCreate(void** stream, unsigned) {
    ALIVE;
    const Lock lock(guard);
    streams.push_back(new Stream);
    if (knobs.threads != 0) streams.back()->begin();
    return *stream = streams.back(), 0;
}
CALL cuStreamSynchronize(void* stream) {
    ALIVE;
    Lock lock(guard);
    of(stream).run(lock);
    return static_cast<int>(knobs.lost);
}
CALL cuStreamQuery(void* stream) {
    ALIVE;
    const Lock lock(guard);
    return of(stream).work.empty() ? 0 : NOT_READY;
}
CALL cuStreamDestroy_v2(void* stream) {
    Lock lock(guard);
    of(stream).run(lock);
    // Events may still speak of it: it stays.
    return 0;
}

CALL cuEventCreate(void** event, unsigned) {
    ALIVE;
    return *event = new Event, 0;
}
CALL cuEventRecord(void* event, void* stream) {
    ALIVE;
    const Lock lock(guard);
    Event* own = static_cast<Event*>(event);
    own->on = &of(stream);
    const unsigned long number = ++own->recorded;
    own->on->put([own, number] {
        const Lock lock(guard);
        own->reached = number, own->at = std::chrono::steady_clock::now();
        changed.notify_all();
    });
    return 0;
}
CALL cuEventSynchronize(void* event) {
    ALIVE;
    Lock lock(guard);
    Event* own = static_cast<Event*>(event);
    own->wait(lock, own->recorded);
    return static_cast<int>(knobs.lost);
}
CALL cuEventQuery(void* event) {
    ALIVE;
    const Lock lock(guard);
    const Event* own = static_cast<Event*>(event);
    if (own->on && own->on->threaded) return own->reached >= own->recorded ? 0 : NOT_READY;
    return cuEventSynchronize(event);
}
CALL cuEventElapsedTime(float* milliseconds, void* from, void* to) {
    ALIVE;
    const Lock lock(guard);
    const Event *begin = static_cast<Event*>(from), *end = static_cast<Event*>(to);
    if (begin->reached < begin->recorded || end->reached < end->recorded) return NOT_READY;
    if (!begin->recorded || !end->recorded) return INVALID_HANDLE;
    return *milliseconds = std::chrono::duration<float, std::milli>(end->at - begin->at).count(), 0;
}
CALL cuEventDestroy_v2(void*) { return 0; }  // streams may still speak of it
CALL cuStreamWaitEvent(void* stream, void* event, unsigned) {
    ALIVE;
    const Lock lock(guard);
    Event* own = static_cast<Event*>(event);
    const unsigned long until = own->recorded;
    of(stream).put([own, until] {
        Lock lock(guard);
        own->wait(lock, until);
    });
    return 0;
}

CALL cuMemAlloc_v2(unsigned long long* address, std::size_t bytes) {
    ALIVE;
    const Lock lock(guard);
    knobs.allocations++;
    if (knobs.memory >= 0 && knobs.used + static_cast<long long>(bytes) > knobs.memory) return OUT_OF_MEMORY;
    void* memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (!memory) return OUT_OF_MEMORY;
    std::memset(memory, 0xa5, bytes);
    *address = reinterpret_cast<unsigned long long>(memory);
    allocations[*address] = {bytes, current};
    return knobs.used += static_cast<long long>(bytes), 0;
}
CALL cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
    ALIVE;
    const Lock lock(guard);
    const long long all = knobs.memory >= 0 ? static_cast<long long>(knobs.memory) : 1LL << 40;
    return *total = static_cast<std::size_t>(all), *free = static_cast<std::size_t>(all > knobs.used ? all - knobs.used : 0), 0;
}
CALL cuMemFree_v2(unsigned long long address) {
    const Lock lock(guard);
    const auto found = allocations.find(address);
    if (found == allocations.end()) return INVALID_VALUE;
    knobs.used -= static_cast<long long>(found->second.bytes);
    return allocations.erase(found), std::free(reinterpret_cast<void*>(address)), 0;
}
CALL cuMemHostAlloc(void** memory, std::size_t bytes, unsigned) {
    ALIVE;
    knobs.allocations++;
    *memory = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (!*memory) return OUT_OF_MEMORY;
    const Lock lock(guard);
    return allocations[reinterpret_cast<unsigned long long>(*memory)] = {bytes, current}, 0;
}
CALL cuMemFreeHost(void* memory) {
    const Lock lock(guard);
    return allocations.erase(reinterpret_cast<unsigned long long>(memory)), std::free(memory), 0;
}
// The attributes 1 (context), 11 and 12 (the allocation) of pointers that were allocated here.
CALL cuPointerGetAttribute(void* value, int attribute, unsigned long long pointer) {
    const Lock lock(guard);
    auto after = allocations.upper_bound(pointer);
    if (after == allocations.begin() || pointer >= std::prev(after)->first + std::prev(after)->second.bytes) return INVALID_VALUE;
    const auto& [address, allocation] = *std::prev(after);
    switch (attribute) {
        case 1: *static_cast<void**>(value) = allocation.context; return 0;
        case 11: *static_cast<unsigned long long*>(value) = address; return 0;
        case 12: *static_cast<std::size_t*>(value) = allocation.bytes; return 0;
        default: return INVALID_VALUE;
    }
}
CALL cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, std::size_t bytes, void* stream) {
    ALIVE;
    const Lock lock(guard);
    knobs.to_device += static_cast<long long>(bytes);
    return of(stream).put([=] { std::memcpy(reinterpret_cast<void*>(to), from, bytes); }), 0;
}
CALL cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, std::size_t bytes, void* stream) {
    ALIVE;
    const Lock lock(guard);
    knobs.to_host += static_cast<long long>(bytes);
    return of(stream).put([=] { std::memcpy(to, reinterpret_cast<void*>(from), bytes); }), 0;
}

CALL cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, std::size_t bytes, void* stream) {
    ALIVE;
    const Lock lock(guard);
    return of(stream).put([=] { std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes); }), 0;
}

// Rows from memory or from an array of blocks.
CALL cuMemcpy2DAsync_v2(const egret_cpu::Copy2D* wanted, void* stream) {
    ALIVE;
    const Lock lock(guard);
    const egret_cpu::Copy2D copy = *wanted;
    const bool array = copy.src_type == egret_cpu::ARRAY;
    const auto* from = reinterpret_cast<const egret_cpu::Blocks*>(copy.src_array);
    if (!copy.width || !copy.height || copy.dst_type == egret_cpu::ARRAY || copy.dst_pitch < copy.width) return INVALID_VALUE;
    if (array ? from->row_bytes < copy.width || from->rows < copy.height : copy.src_pitch < copy.width) return INVALID_VALUE;
    of(stream).put([=] {
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
    const Lock lock(guard);
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
    const Lock lock(guard);
    if (static_cast<Module*>(module)->ptx.find(std::string(".entry ") + name + "(") == std::string::npos) return NOT_FOUND;
    for (const Kernel& known : KERNELS)
        if (std::strcmp(known.name, name) == 0) functions[name] = {name, known.params};
    return functions.count(name) ? (*function = &functions[name], 0) : NOT_FOUND;
}
CALL cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                    void* stream, void** params, void**) {
    ALIVE;
    const Lock lock(guard);
    const Function* own = static_cast<const Function*>(function);
    if (!own || shared || !gx || !gy || !gz || gy > 65535 || gz > 65535 || bx * by * bz > 256) return own ? INVALID_VALUE : INVALID_HANDLE;
    const char* bytes = static_cast<const char*>(params[0]);
    const std::string copy(bytes, own->params);
    knobs.launches++;
    of(stream).put([=] {
        if (knobs.lost_after >= 0 && knobs.lost_after-- == 0) knobs.lost = ILLEGAL_ADDRESS;
        if (knobs.lost != 0) return;
        // Aligned as the structs ask for.
        std::vector<unsigned long long> words((copy.size() + 7) / 8);
        std::memcpy(words.data(), copy.data(), copy.size());
        const unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
        // One kernel at a time has the device.
        static std::mutex& device = *new std::mutex;
        const std::lock_guard<std::mutex> alone(device);
        if (egret_launch(own->name.c_str(), grid, block, words.data(), copy.size(), 0) != 0) std::abort();
    });
    return 0;
}

CALL cuLaunchHostFunc(void* stream, void (*function)(void*), void* user) {
    ALIVE;
    const Lock lock(guard);
    return of(stream).put([=] {
        if (knobs.lost == 0) function(user);
    }), 0;
}

// A graph and its executable form are the same list of work.
CALL cuStreamBeginCapture_v2(void* stream, int) {
    ALIVE;
    const Lock lock(guard);
    Stream& own = of(stream);
    if (&own == &null_stream || own.capturing) return INVALID_VALUE;
    return own.capturing = true, 0;
}
CALL cuStreamIsCapturing(void* stream, int* status) { return *status = of(stream).capturing, 0; }
CALL cuStreamEndCapture(void* stream, void** graph) {
    const Lock lock(guard);
    Stream& own = of(stream);
    if (!own.capturing) return INVALID_VALUE;
    own.capturing = false;
    if (knobs.capture_fails != 0) return own.recorded.clear(), CAPTURE_INVALIDATED;
    *graph = new std::deque<std::function<void()>>(std::move(own.recorded));
    return own.recorded.clear(), 0;
}
CALL cuGraphInstantiateWithFlags(void** made, void* graph, unsigned long long) { return *made = graph, 0; }
CALL cuGraphLaunch(void* graph, void* stream) {
    ALIVE;
    const Lock lock(guard);
    for (const auto& task : *static_cast<std::deque<std::function<void()>>*>(graph)) of(stream).put(task);
    return 0;
}
CALL cuGraphExecDestroy(void*) { return 0; }
CALL cuGraphDestroy(void* graph) { return delete static_cast<std::deque<std::function<void()>>*>(graph), 0; }
