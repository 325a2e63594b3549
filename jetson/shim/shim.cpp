// One TensorRT major of the shim: see shim.h. build.rs compiles this file once per major, with the namespaces `nvinfer1` and
// `nvonnxparser` renamed, so that what the headers define inline has another name in each.

#include "build.hpp"
#include "host.hpp"
#include "runtime.hpp"
#include "shim.h"

#if NV_TENSORRT_MAJOR == 10
#define EGRET_TRT_ENTRY egret_trt10
#elif NV_TENSORRT_MAJOR == 11
#define EGRET_TRT_ENTRY egret_trt11
#else
#error "egret's shim is written for TensorRT 10 and 11"
#endif

namespace {

egret_trt_api const kApi = {
    sizeof(egret_trt_api),
    static_cast<int32_t>(NV_TENSORRT_VERSION),
    host_new,
    host_free,
    host_errors,
    host_init_plugins,
    runtime_new,
    runtime_free,
    runtime_dla,
    runtime_allow_host_code,
    runtime_deserialize,
    engine_free,
    engine_counts,
    engine_tensor,
    engine_profile,
    engine_memory,
    engine_inspect,
    context_new,
    context_free,
    context_memory,
    context_profile,
    context_set_shape,
    context_shape,
    context_address,
    context_enqueue,
    build_new,
    build_free,
    build_parse,
    build_parser_errors,
    build_counts,
    build_tensor,
    build_profile,
    build_configure,
    build_timing_cache,
    build_placement,
    build_run,
};

}   // namespace

extern "C" egret_trt_api const* EGRET_TRT_ENTRY() { return &kApi; }
