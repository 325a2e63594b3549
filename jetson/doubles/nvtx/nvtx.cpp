// A tool that listens to NVTX 3, for tests: it attaches as tools do and writes what it hears into the file named by EGRET_NVTX_HEARD, one line
// for each push ("THREAD > NAME") and pop ("THREAD <"). EGRET_REFUSES: its initialisation fails.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace {
using Function = void (*)();
struct Callbacks {
    size_t struct_size;
    int (*module)(int, Function ***, unsigned *);
};
struct VersionInfo {
    size_t struct_size;
    uint32_t version, reserved;
    void (*set)(uint32_t);
};
using Export = const void *(*)(uint32_t);

std::mutex lock;
std::FILE *heard = nullptr;
int next_thread = 0;
thread_local int thread = 0, depth = 0;

void write(const char *what, const char *name) {
    std::lock_guard<std::mutex> held(lock);
    if (!thread) thread = ++next_thread;
    std::fprintf(heard, "%d %s %s\n", thread, what, name);
    std::fflush(heard);
}

int push(const char *name) {
    write(">", name);
    return depth++;
}

int pop() {
    write("<", "");
    return --depth;
}
}  // namespace

extern "C" __attribute__((visibility("default"))) int InitializeInjectionNvtx2(Export tables) {
#ifdef EGRET_REFUSES
    (void)tables;
    return 0;
#else
    const char *path = std::getenv("EGRET_NVTX_HEARD");
    if (!path || !(heard = std::fopen(path, "w"))) return 0;
    auto version = static_cast<const VersionInfo *>(tables(3));
    auto callbacks = static_cast<const Callbacks *>(tables(1));
    if (!version || version->struct_size != 24 || version->version != 3 || tables(2) || !callbacks || callbacks->struct_size != 16) return 0;
    version->set(3);
    // Every module, as real tools ask for them; slots and their number are those of the headers.
    const unsigned sizes[] = {0, 16, 9, 15, 7, 16, 7};
    Function **table = nullptr;
    unsigned size = 0;
    if (callbacks->module(0, &table, &size) || callbacks->module(7, &table, &size)) return 0;
    for (int module = 6; module >= 1; --module) {
        if (!callbacks->module(module, &table, &size) || size != sizes[module] || table[0] || table[size]) return 0;
        for (unsigned id = 1; id < size; ++id)
            if (!table[id]) return 0;
    }
    *table[9] = reinterpret_cast<Function>(push);
    *table[11] = reinterpret_cast<Function>(pop);
    return 1;
#endif
}
