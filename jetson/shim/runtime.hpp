// Runtime, engine, execution context.
#pragma once

#include "host.hpp"

#include <memory>

namespace {

nvinfer1::IRuntime* runtime_of(egret_trt_runtime* runtime) { return reinterpret_cast<nvinfer1::IRuntime*>(runtime); }
nvinfer1::ICudaEngine* engine_of(egret_trt_engine* engine) { return reinterpret_cast<nvinfer1::ICudaEngine*>(engine); }
nvinfer1::IExecutionContext* context_of(egret_trt_context* context) {
    return reinterpret_cast<nvinfer1::IExecutionContext*>(context);
}

int32_t runtime_new(egret_trt_create create, int32_t version, egret_trt_host* log, egret_trt_host* host, egret_trt_runtime** out) {
    Host& owner = host_of(host);
    return guarded(&owner.recorder, [&] {
        nvinfer1::ILogger* logger = &host_of(log).logger;
        auto* runtime = made<nvinfer1::IRuntime>(create(logger, version));
        if (runtime == nullptr) {
            return EGRET_TRT_REFUSED;
        }
        runtime->setErrorRecorder(&owner.recorder);
        *out = reinterpret_cast<egret_trt_runtime*>(runtime);
        return EGRET_TRT_OK;
    });
}

void runtime_free(egret_trt_runtime* runtime) { delete runtime_of(runtime); }

int32_t runtime_dla(egret_trt_runtime* runtime, int32_t core, int32_t* cores) {
    return guarded(nullptr, [&] {
        auto* r = runtime_of(runtime);
        *cores = r->getNbDLACores();
        if (core < 0) {
            return EGRET_TRT_OK;
        }
        if (core >= *cores) {
            return EGRET_TRT_REFUSED;
        }
        r->setDLACore(core);
        return EGRET_TRT_OK;
    });
}

int32_t runtime_allow_host_code(egret_trt_runtime* runtime) {
    return guarded(nullptr, [&] {
        runtime_of(runtime)->setEngineHostCodeAllowed(true);
        return EGRET_TRT_OK;
    });
}

int32_t runtime_deserialize(egret_trt_runtime* runtime, egret_trt_host* host, void const* plan, size_t size, egret_trt_engine** out) {
    Recorder& recorder = host_of(host).recorder;
    return guarded(&recorder, [&] {
        auto* engine = runtime_of(runtime)->deserializeCudaEngine(plan, size);
        if (engine == nullptr) {
            return EGRET_TRT_REFUSED;
        }
        engine->setErrorRecorder(&recorder);
        *out = reinterpret_cast<egret_trt_engine*>(engine);
        return EGRET_TRT_OK;
    });
}

void engine_free(egret_trt_engine* engine) { delete engine_of(engine); }

int32_t engine_counts(egret_trt_engine* engine, int32_t* tensors, int32_t* profiles, int32_t* layers) {
    return guarded(nullptr, [&] {
        auto* e = engine_of(engine);
        *tensors = e->getNbIOTensors();
        *profiles = e->getNbOptimizationProfiles();
        *layers = e->getNbLayers();
        return EGRET_TRT_OK;
    });
}

int32_t engine_tensor(egret_trt_engine* engine, int32_t index, egret_trt_tensor* out, egret_trt_sink name) {
    return guarded(nullptr, [&] {
        auto* e = engine_of(engine);
        if (index < 0 || index >= e->getNbIOTensors()) {
            return EGRET_TRT_INVALID;
        }
        char const* tensor = e->getIOTensorName(index);
        out->data_type = static_cast<int32_t>(e->getTensorDataType(tensor));
        out->format = static_cast<int32_t>(e->getTensorFormat(tensor));
        out->is_output = e->getTensorIOMode(tensor) == nvinfer1::TensorIOMode::kOUTPUT;
        out->on_host = e->getTensorLocation(tensor) == nvinfer1::TensorLocation::kHOST;
        out->shape = dims_out(e->getTensorShape(tensor));
        put_text(name, tensor);
        return EGRET_TRT_OK;
    });
}

int32_t engine_profile(egret_trt_engine* engine, int32_t profile, char const* name, egret_trt_range* out) {
    return guarded(nullptr, [&] {
        auto* e = engine_of(engine);
        if (profile < 0 || profile >= e->getNbOptimizationProfiles()) {
            return EGRET_TRT_INVALID;
        }
        using Selector = nvinfer1::OptProfileSelector;
        out->min = dims_out(e->getProfileShape(name, profile, Selector::kMIN));
        out->opt = dims_out(e->getProfileShape(name, profile, Selector::kOPT));
        out->max = dims_out(e->getProfileShape(name, profile, Selector::kMAX));
        // -1 dimensions: the name is no input's
        return out->min.rank < 0 ? EGRET_TRT_REFUSED : EGRET_TRT_OK;
    });
}

int32_t engine_memory(egret_trt_engine* engine, int32_t profile, int64_t* bytes) {
    return guarded(nullptr, [&] {
        auto* e = engine_of(engine);
        *bytes = profile < 0 ? e->getDeviceMemorySizeV2() : e->getDeviceMemorySizeForProfileV2(profile);
        return EGRET_TRT_OK;
    });
}

int32_t engine_inspect(egret_trt_engine* engine, egret_trt_sink json) {
    return guarded(nullptr, [&] {
        std::unique_ptr<nvinfer1::IEngineInspector> const inspector{engine_of(engine)->createEngineInspector()};
        char const* text = inspector ? inspector->getEngineInformation(nvinfer1::LayerInformationFormat::kJSON) : nullptr;
        put_text(json, text);
        return text != nullptr ? EGRET_TRT_OK : EGRET_TRT_REFUSED;
    });
}

int32_t context_new(egret_trt_engine* engine, egret_trt_host* host, int32_t own_memory, egret_trt_context** out) {
    Recorder& recorder = host_of(host).recorder;
    return guarded(&recorder, [&] {
        using Strategy = nvinfer1::ExecutionContextAllocationStrategy;
        auto* e = engine_of(engine);
        auto* context = e->createExecutionContext(own_memory != 0 ? Strategy::kUSER_MANAGED : Strategy::kSTATIC);
        if (context == nullptr) {
            return EGRET_TRT_REFUSED;
        }
        context->setErrorRecorder(&recorder);
        *out = reinterpret_cast<egret_trt_context*>(context);
        return EGRET_TRT_OK;
    });
}

void context_free(egret_trt_context* context) { delete context_of(context); }

int32_t accepted(bool yes) { return yes ? EGRET_TRT_OK : EGRET_TRT_REFUSED; }

int32_t context_memory(egret_trt_context* context, void* memory, int64_t bytes) {
    return guarded(nullptr, [&] {
        context_of(context)->setDeviceMemoryV2(memory, bytes);
        return EGRET_TRT_OK;
    });
}

int32_t context_profile(egret_trt_context* context, int32_t profile, void* stream) {
    return guarded(nullptr, [&] {
        return accepted(context_of(context)->setOptimizationProfileAsync(profile, static_cast<cudaStream_t>(stream)));
    });
}

int32_t context_set_shape(egret_trt_context* context, char const* name, egret_trt_dims const* shape) {
    return guarded(nullptr, [&]() -> int32_t {
        if (!dims_valid(*shape)) {
            return EGRET_TRT_INVALID;
        }
        return accepted(context_of(context)->setInputShape(name, dims_in(*shape)));
    });
}

int32_t context_shape(egret_trt_context* context, char const* name, egret_trt_dims* out) {
    return guarded(nullptr, [&] {
        *out = dims_out(context_of(context)->getTensorShape(name));
        return accepted(out->rank >= 0);
    });
}

int32_t context_address(egret_trt_context* context, char const* name, void* address) {
    return guarded(nullptr, [&] { return accepted(context_of(context)->setTensorAddress(name, address)); });
}

int32_t context_enqueue(egret_trt_context* context, void* stream) {
    return guarded(nullptr, [&] { return accepted(context_of(context)->enqueueV3(static_cast<cudaStream_t>(stream))); });
}

}   // namespace
