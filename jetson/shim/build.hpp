// Builder: ONNX in, serialised engine out.
#pragma once

#include "host.hpp"

#include <memory>

namespace {

struct Build {
    Host* host;
    int32_t version;
    std::unique_ptr<nvinfer1::IBuilder> builder;
    std::unique_ptr<nvinfer1::INetworkDefinition> network;
    std::unique_ptr<nvinfer1::IBuilderConfig> config;
    std::unique_ptr<nvonnxparser::IParser> parser;
    std::unique_ptr<nvinfer1::ITimingCache> cache;
};

Build& build_of(egret_trt_build* build) { return *reinterpret_cast<Build*>(build); }

// Whether both the installed library and these headers have what came with that version. Where the headers are the newer ones, a later
// method has a slot here and none there. names.tsv lists since when each name is, and a test holds the calls against it.
bool since(Build const& build, int32_t major, int32_t minor) {
    int32_t const version = major * 10000 + minor * 100;
    return build.version >= version && static_cast<int32_t>(NV_TENSORRT_VERSION) >= version;
}

int32_t build_new(egret_trt_create create, egret_trt_create_parser parser, int32_t version, egret_trt_host* log, egret_trt_host* host,
    egret_trt_build** out) {
    Host& owner = host_of(host);
    return guarded(&owner.recorder, [&] {
        nvinfer1::ILogger* logger = &host_of(log).logger;
        auto build = std::make_unique<Build>();
        build->host = &owner;
        build->version = version;
        build->builder.reset(made<nvinfer1::IBuilder>(create(logger, version)));
        if (!build->builder) {
            return EGRET_TRT_REFUSED;
        }
        build->builder->setErrorRecorder(&owner.recorder);
        // The one kind of network that both majors build. In 11 the flag is accepted and changes nothing.
        auto const typed = 1U << static_cast<uint32_t>(nvinfer1::NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
        build->network.reset(build->builder->createNetworkV2(typed));
        build->config.reset(build->builder->createBuilderConfig());
        if (!build->network || !build->config) {
            return EGRET_TRT_REFUSED;
        }
        // The parser's version is its own, not TensorRT's.
        build->parser.reset(made<nvonnxparser::IParser>(parser(build->network.get(), logger, NV_ONNX_PARSER_VERSION)));
        if (!build->parser) {
            return EGRET_TRT_REFUSED;
        }
        if (owner.monitored) {
            build->config->setProgressMonitor(&owner.monitor);
        }
        *out = reinterpret_cast<egret_trt_build*>(build.release());
        return EGRET_TRT_OK;
    });
}

void build_free(egret_trt_build* handle) {
    std::unique_ptr<Build> const build{reinterpret_cast<Build*>(handle)};
    // What refers to another goes first.
    build->parser.reset();
    build->cache.reset();
    build->config.reset();
    build->network.reset();
}

int32_t build_parse(egret_trt_build* handle, void const* onnx, size_t size, char const* path) {
    Build& build = build_of(handle);
    return guarded(&build.host->recorder, [&] {
        return build.parser->parse(onnx, size, path) ? EGRET_TRT_OK : EGRET_TRT_REFUSED;
    });
}

void build_parser_errors(egret_trt_build* handle, void* user, void (*put)(void*, egret_trt_parser_error const*)) {
    Build& build = build_of(handle);
    auto const text = [](char const* s) { return s != nullptr ? s : ""; };
    guarded(&build.host->recorder, [&] {
        for (int32_t i = 0; i < build.parser->getNbErrors(); ++i) {
            auto const* error = build.parser->getError(i);
            egret_trt_parser_error out{};
            out.code = static_cast<int32_t>(error->code());
            out.line = error->line();
            out.node = error->node();
            out.description = text(error->desc());
            out.file = text(error->file());
            out.function = text(error->func());
            out.node_name = text(error->nodeName());
            out.node_operator = text(error->nodeOperator());
            put(user, &out);
        }
        return EGRET_TRT_OK;
    });
}

int32_t build_counts(egret_trt_build* handle, int32_t* inputs, int32_t* outputs, int32_t* layers, int32_t* dla_cores) {
    Build& build = build_of(handle);
    return guarded(&build.host->recorder, [&] {
        *inputs = build.network->getNbInputs();
        *outputs = build.network->getNbOutputs();
        *layers = build.network->getNbLayers();
        *dla_cores = build.builder->getNbDLACores();
        return EGRET_TRT_OK;
    });
}

int32_t build_tensor(egret_trt_build* handle, int32_t is_output, int32_t index, egret_trt_tensor* out, egret_trt_sink name) {
    Build& build = build_of(handle);
    return guarded(&build.host->recorder, [&] {
        auto* network = build.network.get();
        int32_t const count = is_output != 0 ? network->getNbOutputs() : network->getNbInputs();
        if (index < 0 || index >= count) {
            return EGRET_TRT_INVALID;
        }
        auto* tensor = is_output != 0 ? network->getOutput(index) : network->getInput(index);
        *out = {};
        out->data_type = static_cast<int32_t>(tensor->getType());
        out->is_output = is_output != 0;
        out->on_host = tensor->isShapeTensor();
        out->shape = dims_out(tensor->getDimensions());
        put_text(name, tensor->getName());
        return EGRET_TRT_OK;
    });
}

int32_t build_profile(egret_trt_build* handle, egret_trt_range const* ranges, int32_t count) {
    Build& build = build_of(handle);
    return guarded(&build.host->recorder, [&] {
        auto* profile = build.builder->createOptimizationProfile();
        if (profile == nullptr) {
            return EGRET_TRT_REFUSED;
        }
        using Selector = nvinfer1::OptProfileSelector;
        for (int32_t i = 0; i < count; ++i) {
            auto const& range = ranges[i];
            if (!dims_valid(range.min) || !dims_valid(range.opt) || !dims_valid(range.max)) {
                return EGRET_TRT_INVALID;
            }
            if (!profile->setDimensions(range.name, Selector::kMIN, dims_in(range.min))
                || !profile->setDimensions(range.name, Selector::kOPT, dims_in(range.opt))
                || !profile->setDimensions(range.name, Selector::kMAX, dims_in(range.max))) {
                return EGRET_TRT_REFUSED;
            }
        }
        return build.config->addOptimizationProfile(profile) >= 0 ? EGRET_TRT_OK : EGRET_TRT_REFUSED;
    });
}

void set_flag(nvinfer1::IBuilderConfig* config, nvinfer1::BuilderFlag flag, bool on) {
    if (on) {
        config->setFlag(flag);
    } else {
        config->clearFlag(flag);
    }
}

void set_flags(nvinfer1::IBuilderConfig* config, uint32_t flags) {
    using Flag = nvinfer1::BuilderFlag;
    auto const on = [flags](uint32_t flag) { return (flags & flag) != 0; };
    set_flag(config, Flag::kTF32, on(EGRET_TRT_TF32));
    set_flag(config, Flag::kGPU_FALLBACK, on(EGRET_TRT_GPU_FALLBACK));
    set_flag(config, Flag::kVERSION_COMPATIBLE, on(EGRET_TRT_VERSION_COMPATIBLE));
    set_flag(config, Flag::kEXCLUDE_LEAN_RUNTIME, on(EGRET_TRT_EXCLUDE_LEAN_RUNTIME));
    set_flag(config, Flag::kSPARSE_WEIGHTS, on(EGRET_TRT_SPARSE_WEIGHTS));
    set_flag(config, Flag::kDISABLE_TIMING_CACHE, on(EGRET_TRT_DISABLE_TIMING_CACHE));
    using Verbosity = nvinfer1::ProfilingVerbosity;
    config->setProfilingVerbosity(on(EGRET_TRT_DETAILED_LAYERS) ? Verbosity::kDETAILED : Verbosity::kLAYER_NAMES_ONLY);
}

void set_pools(nvinfer1::IBuilderConfig* config, egret_trt_config const& wanted) {
    using Pool = nvinfer1::MemoryPoolType;
    std::pair<Pool, int64_t> const pools[] = {
        {Pool::kWORKSPACE, wanted.workspace_bytes},
        {Pool::kDLA_MANAGED_SRAM, wanted.dla_sram_bytes},
        {Pool::kDLA_LOCAL_DRAM, wanted.dla_local_dram_bytes},
        {Pool::kDLA_GLOBAL_DRAM, wanted.dla_global_dram_bytes},
        {Pool::kTACTIC_DRAM, wanted.tactic_dram_bytes},
    };
    for (auto const& pool : pools) {
        if (pool.second >= 0) {
            config->setMemoryPoolLimit(pool.first, static_cast<size_t>(pool.second));
        }
    }
}

int32_t build_configure(egret_trt_build* handle, egret_trt_config const* wanted) {
    Build& build = build_of(handle);
    return guarded(&build.host->recorder, [&] {
        auto* config = build.config.get();
        set_flags(config, wanted->flags);
        set_pools(config, *wanted);
        if (wanted->optimization_level >= 0) {
            config->setBuilderOptimizationLevel(wanted->optimization_level);
        }
        if (wanted->max_aux_streams >= 0) {
            config->setMaxAuxStreams(wanted->max_aux_streams);
        }
        if (wanted->max_threads >= 0 && !build.builder->setMaxThreads(wanted->max_threads)) {
            return EGRET_TRT_REFUSED;
        }
        switch (wanted->hardware_compatibility) {
        case 0: config->setHardwareCompatibilityLevel(nvinfer1::HardwareCompatibilityLevel::kNONE); break;
        case 1: config->setHardwareCompatibilityLevel(nvinfer1::HardwareCompatibilityLevel::kAMPERE_PLUS); break;
        case 2:
            if (!since(build, 10, 9)) {
                return EGRET_TRT_TOO_OLD;
            }
#if NV_TENSORRT_VERSION >= 100900
            config->setHardwareCompatibilityLevel(nvinfer1::HardwareCompatibilityLevel::kSAME_COMPUTE_CAPABILITY);
#endif
            break;
        default: return EGRET_TRT_INVALID;
        }
        if (wanted->max_tactics >= 0) {
            if (!since(build, 10, 4)) {
                return EGRET_TRT_TOO_OLD;
            }
#if NV_TENSORRT_VERSION >= 100400
            config->setMaxNbTactics(wanted->max_tactics);
#endif
        }
        if (wanted->dla_core >= 0) {
            if (wanted->dla_core >= build.builder->getNbDLACores()) {
                return EGRET_TRT_INVALID;
            }
            config->setDefaultDeviceType(nvinfer1::DeviceType::kDLA);
            config->setDLACore(wanted->dla_core);
        }
        return EGRET_TRT_OK;
    });
}

int32_t build_timing_cache(egret_trt_build* handle, void const* data, size_t size) {
    Build& build = build_of(handle);
    return guarded(&build.host->recorder, [&] {
        std::unique_ptr<nvinfer1::ITimingCache> cache{build.config->createTimingCache(data, size)};
        // A cache of another version or device is refused, never bent to fit.
        if (!cache || !build.config->setTimingCache(*cache, false)) {
            return EGRET_TRT_REFUSED;
        }
        build.cache = std::move(cache);
        return EGRET_TRT_OK;
    });
}

int32_t build_placement(egret_trt_build* handle, void* user, void (*put)(void*, egret_trt_layer const*)) {
    Build& build = build_of(handle);
    return guarded(&build.host->recorder, [&] {
        for (int32_t i = 0; i < build.network->getNbLayers(); ++i) {
            auto const* layer = build.network->getLayer(i);
            egret_trt_layer out{};
            out.name = layer->getName();
            out.type = static_cast<int32_t>(layer->getType());
            out.on_dla = build.config->canRunOnDLA(layer);
            put(user, &out);
        }
        return EGRET_TRT_OK;
    });
}

int32_t build_run(egret_trt_build* handle, egret_trt_sink plan, egret_trt_sink timing_cache) {
    Build& build = build_of(handle);
    return guarded(&build.host->recorder, [&] {
        std::unique_ptr<nvinfer1::IHostMemory> const serialized{build.builder->buildSerializedNetwork(*build.network, *build.config)};
        if (!serialized) {
            return EGRET_TRT_REFUSED;
        }
        auto const* cache = build.config->getTimingCache();
        std::unique_ptr<nvinfer1::IHostMemory> const timings{cache != nullptr ? cache->serialize() : nullptr};
        if (timings) {
            timing_cache.put(timing_cache.user, timings->data(), timings->size());
        }
        plan.put(plan.user, serialized->data(), serialized->size());
        return EGRET_TRT_OK;
    });
}

}   // namespace
