// A stand-in for libnvinfer, for tests: TensorRT's own interfaces from its own headers, a tiny network behind them.
#include "builder.hpp"
#include "runtime.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace egret_double {

Knobs knobs;

int32_t version() {
    auto const said = static_cast<int32_t>(knobs.version.load());
    return said != 0 ? said : static_cast<int32_t>(NV_TENSORRT_VERSION);
}

[[noreturn]] void missing(char const* what) {
    std::fprintf(stderr, "the double has no %s\n", what);
    std::abort();
}

}   // namespace egret_double

using namespace egret_double;

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int32_t getInferLibVersion() noexcept { return version(); }

EXPORT void* createInferRuntime_INTERNAL(void* logger, int32_t) noexcept {
    auto* log = static_cast<nvinfer1::ILogger*>(logger);
    if (knobs.no_cuda != 0) {
        Reporter{log}.fail(nvinfer1::ErrorCode::kFAILED_INITIALIZATION, "CUDA initialization failure with error: 35");
        return reinterpret_cast<void*>(0x228);
    }
    return static_cast<nvinfer1::IRuntime*>(new Runtime{log});
}

EXPORT void* createInferBuilder_INTERNAL(void* logger, int32_t) noexcept {
    auto* log = static_cast<nvinfer1::ILogger*>(logger);
    if (knobs.no_cuda != 0) {
        Reporter{log}.fail(nvinfer1::ErrorCode::kFAILED_INITIALIZATION, "CUDA initialization failure with error: 35");
        return nullptr;
    }
    return static_cast<nvinfer1::IBuilder*>(new Builder{log});
}

EXPORT int egret_double_set(char const* name, int64_t value) {
    std::pair<char const*, std::atomic<int64_t>*> const all[] = {{"version", &knobs.version}, {"device", &knobs.device},
        {"dla_cores", &knobs.dla_cores}, {"no_cuda", &knobs.no_cuda}, {"build_memory", &knobs.build_memory},
        {"build_step_us", &knobs.build_step_us}, {"context_fails", &knobs.context_fails}, {"enqueue_fails", &knobs.enqueue_fails},
        {"enqueue_us", &knobs.enqueue_us}, {"capture_fails", &knobs.capture_fails}, {"driver", &knobs.driver}, {"skew", &knobs.skew}};
    for (auto const& knob : all) {
        if (std::strcmp(knob.first, name) == 0) {
            *knob.second = value;
            return 0;
        }
    }
    return -1;
}

EXPORT int64_t egret_double_objects() { return knobs.objects; }
EXPORT void* egret_double_stream_new() { return new Stream; }
EXPORT void egret_double_stream_synchronize(void* stream) { static_cast<Stream*>(stream)->synchronize(); }
EXPORT void egret_double_stream_begin(void* stream) { static_cast<Stream*>(stream)->recording = new Tasks; }
EXPORT void* egret_double_stream_end(void* stream) {
    Tasks* const recorded = std::exchange(static_cast<Stream*>(stream)->recording, nullptr);
    if (knobs.capture_fails == 0) {
        return recorded;
    }
    delete recorded;
    return nullptr;
}
EXPORT void egret_double_graph_launch(void* graph, void* stream) {
    for (auto const& task : *static_cast<Tasks*>(graph)) {
        static_cast<Stream*>(stream)->push(task);
    }
}
EXPORT void egret_double_graph_free(void* graph) { delete static_cast<Tasks*>(graph); }
EXPORT void egret_double_stream_free(void* stream) { delete static_cast<Stream*>(stream); }
