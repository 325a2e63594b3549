// What a test can turn while the double runs. Kept by libnvinfer's double; set through egret_double_set.
#pragma once

#include <atomic>
#include <cstdint>

namespace egret_double {

struct Knobs {
    std::atomic<int64_t> version{0};          // what getInferLibVersion says; 0: that of the headers
    std::atomic<int64_t> device{1};           // plans of another are refused
    std::atomic<int64_t> dla_cores{0};
    std::atomic<int64_t> no_cuda{0};          // no runtime and no builder: a null to which an offset was added, as the real one does
    std::atomic<int64_t> build_memory{-1};    // bytes; a network that needs more cannot be built
    std::atomic<int64_t> build_step_us{0};    // how long timing a layer takes
    std::atomic<int64_t> context_fails{0};    // contexts find no memory
    std::atomic<int64_t> enqueue_fails{-1};   // after so many batches, each fails for ever
    std::atomic<int64_t> capture_fails{0};    // recordings come out invalid
    std::atomic<int64_t> enqueue_us{0};       // how long a batch takes on its stream
    std::atomic<int64_t> skew{0};             // thousandths that are added to every output: an engine that computes something else
    std::atomic<int64_t> driver{0};           // streams are those of the CUDA driver that this process has loaded
    std::atomic<int64_t> objects{0};          // read: runtimes, engines, contexts, builders that live
};

}   // namespace egret_double
