// The border between Rust and TensorRT: plain C, one table of functions per TensorRT major.
//
// The headers of two majors cannot meet in one translation unit, nor their inline classes in one binary: same names, different slots
// of the virtual tables, different enumerators. So shim.cpp is compiled once per major with the namespaces renamed, and exports one
// symbol: egret_trt10() or egret_trt11(). Enumerations of this file are egret's own; shim.cpp translates them.
//
// Rules: handles are opaque, every function may be given any handle of its kind that was not freed, strings live for the time of the
// call (in) or go through a sink (out), no exception leaves. src/tensorrt/sys.rs mirrors this file field by field.
#ifndef EGRET_TRT_SHIM_H
#define EGRET_TRT_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// What a function returns.
enum {
    EGRET_TRT_OK = 0,
    EGRET_TRT_INVALID = 1,     // an argument is out of range: a bug of the caller
    EGRET_TRT_REFUSED = 2,     // TensorRT returned null or false; the errors recorded and the log say why
    EGRET_TRT_EXCEPTION = 3,   // a C++ exception was caught; its text is among the errors recorded
    EGRET_TRT_TOO_OLD = 4,     // the installed TensorRT has no such method
};

enum { EGRET_TRT_MAX_DIMS = 8 };
typedef struct {
    int32_t rank;
    int64_t d[EGRET_TRT_MAX_DIMS];
} egret_trt_dims;

typedef struct {
    int32_t data_type;   // nvinfer1::DataType, whose values no release has changed
    int32_t format;      // nvinfer1::TensorFormat; 0 = linear
    int32_t is_output;
    int32_t on_host;
    egret_trt_dims shape;   // -1 where it is dynamic
} egret_trt_tensor;

// Where text and bytes go. Called once or not at all.
typedef struct {
    void* user;
    void (*put)(void* user, const void* data, size_t size);
} egret_trt_sink;

// What TensorRT tells while it works; from any thread.
typedef struct {
    void* user;
    // 0 internal error, 1 error, 2 warning, 3 info, 4 verbose
    void (*log)(void* user, int32_t severity, const char* message);
    // Null: no monitor is set. 0 phase starts (steps = its number), 1 a step is complete (steps = its index), 2 phase ends.
    // Returns 0 to cancel. parent may be null.
    int32_t (*progress)(void* user, int32_t event, const char* phase, const char* parent, int32_t steps);
} egret_trt_calls;

typedef struct {
    int32_t code;
    int32_t line;
    int32_t node;   // index in the graph, -1 when none
    const char* description;
    const char* file;
    const char* function;
    const char* node_name;
    const char* node_operator;
} egret_trt_parser_error;

typedef struct {
    const char* name;
    egret_trt_dims min, opt, max;
} egret_trt_range;

enum {
    EGRET_TRT_TF32 = 1 << 0,
    EGRET_TRT_GPU_FALLBACK = 1 << 1,
    EGRET_TRT_VERSION_COMPATIBLE = 1 << 2,
    EGRET_TRT_EXCLUDE_LEAN_RUNTIME = 1 << 3,
    EGRET_TRT_SPARSE_WEIGHTS = 1 << 4,
    EGRET_TRT_DISABLE_TIMING_CACHE = 1 << 5,
    EGRET_TRT_DETAILED_LAYERS = 1 << 6,   // the inspector tells every layer in full
};
typedef struct {
    uint32_t flags;
    int32_t optimization_level;       // -1: TensorRT's own
    int32_t max_tactics;              // -1: TensorRT's own
    int32_t max_aux_streams;          // -1: TensorRT's own
    int32_t max_threads;              // -1: TensorRT's own
    int32_t dla_core;                 // -1: everything on the GPU
    int32_t hardware_compatibility;   // 0 none, 1 Ampere and later, 2 same compute capability
    int64_t workspace_bytes;          // -1: TensorRT's own, for each of these
    int64_t dla_sram_bytes;
    int64_t dla_local_dram_bytes;
    int64_t dla_global_dram_bytes;
    int64_t tactic_dram_bytes;
} egret_trt_config;

typedef struct {
    const char* name;
    int32_t type;     // nvinfer1::LayerType
    int32_t on_dla;   // whether the DLA can run it
} egret_trt_layer;

typedef struct egret_trt_host egret_trt_host;
typedef struct egret_trt_runtime egret_trt_runtime;
typedef struct egret_trt_engine egret_trt_engine;
typedef struct egret_trt_context egret_trt_context;
typedef struct egret_trt_build egret_trt_build;

// createInferRuntime_INTERNAL, createInferBuilder_INTERNAL
typedef void* (*egret_trt_create)(void* logger, int32_t version);
// createNvOnnxParser_INTERNAL
typedef void* (*egret_trt_create_parser)(void* network, void* logger, int version);
// initLibNvInferPlugins
typedef bool (*egret_trt_init_plugins)(void* logger, const char* name_space);

typedef struct {
    size_t size;                // of this table: the first thing the other side checks
    int32_t headers;            // NV_TENSORRT_VERSION of the headers it was compiled with

    // Logger, error recorder and progress monitor in one; outlives what was created with it. TensorRT keeps the first logger that it is
    // given for the whole process, whatever it is given later: the host that is passed as `logger` must never be freed.
    int32_t (*host_new)(const egret_trt_calls* calls, egret_trt_host** out);
    void (*host_free)(egret_trt_host* host);
    // Hands over what was recorded since the last time, oldest first, and forgets it.
    void (*host_errors)(egret_trt_host* host, void* user, void (*put)(void* user, int32_t code, const char* description));
    int32_t (*host_init_plugins)(egret_trt_host* host, egret_trt_init_plugins init);

    int32_t (*runtime_new)(egret_trt_create create, int32_t version, egret_trt_host* logger, egret_trt_host* host, egret_trt_runtime** out);
    void (*runtime_free)(egret_trt_runtime* runtime);
    int32_t (*runtime_dla)(egret_trt_runtime* runtime, int32_t core, int32_t* cores);   // core -1: only asks
    int32_t (*runtime_allow_host_code)(egret_trt_runtime* runtime);
    int32_t (*runtime_deserialize)(egret_trt_runtime* runtime, egret_trt_host* host, const void* plan, size_t size, egret_trt_engine** out);

    void (*engine_free)(egret_trt_engine* engine);
    int32_t (*engine_counts)(egret_trt_engine* engine, int32_t* tensors, int32_t* profiles, int32_t* layers);
    int32_t (*engine_tensor)(egret_trt_engine* engine, int32_t index, egret_trt_tensor* out, egret_trt_sink name);
    int32_t (*engine_profile)(egret_trt_engine* engine, int32_t profile, const char* name, egret_trt_range* out);
    int32_t (*engine_memory)(egret_trt_engine* engine, int32_t profile, int64_t* bytes);   // profile -1: the largest
    int32_t (*engine_inspect)(egret_trt_engine* engine, egret_trt_sink json);

    int32_t (*context_new)(egret_trt_engine* engine, egret_trt_host* host, int32_t own_memory, egret_trt_context** out);
    void (*context_free)(egret_trt_context* context);
    int32_t (*context_memory)(egret_trt_context* context, void* memory, int64_t bytes);
    int32_t (*context_profile)(egret_trt_context* context, int32_t profile, void* stream);
    int32_t (*context_set_shape)(egret_trt_context* context, const char* name, const egret_trt_dims* shape);
    int32_t (*context_shape)(egret_trt_context* context, const char* name, egret_trt_dims* out);
    int32_t (*context_address)(egret_trt_context* context, const char* name, void* address);
    int32_t (*context_enqueue)(egret_trt_context* context, void* stream);

    // Builder, strongly typed network, configuration and parser in one.
    int32_t (*build_new)(egret_trt_create create, egret_trt_create_parser parser, int32_t version, egret_trt_host* logger, egret_trt_host* host,
        egret_trt_build** out);
    void (*build_free)(egret_trt_build* build);
    // path: where the network's external weights lie, or null.
    int32_t (*build_parse)(egret_trt_build* build, const void* onnx, size_t size, const char* path);
    void (*build_parser_errors)(egret_trt_build* build, void* user, void (*put)(void* user, const egret_trt_parser_error* error));
    int32_t (*build_counts)(egret_trt_build* build, int32_t* inputs, int32_t* outputs, int32_t* layers, int32_t* dla_cores);
    int32_t (*build_tensor)(egret_trt_build* build, int32_t is_output, int32_t index, egret_trt_tensor* out, egret_trt_sink name);
    int32_t (*build_profile)(egret_trt_build* build, const egret_trt_range* ranges, int32_t count);
    int32_t (*build_configure)(egret_trt_build* build, const egret_trt_config* config);
    int32_t (*build_timing_cache)(egret_trt_build* build, const void* data, size_t size);
    int32_t (*build_placement)(egret_trt_build* build, void* user, void (*put)(void* user, const egret_trt_layer* layer));
    int32_t (*build_run)(egret_trt_build* build, egret_trt_sink plan, egret_trt_sink timing_cache);
} egret_trt_api;

#ifdef __cplusplus
}
#endif
#endif
