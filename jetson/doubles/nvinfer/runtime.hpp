// IRuntime, ICudaEngine, IExecutionContext, IEngineInspector. "Device" memory is the host's.
#pragma once

#include "driver.hpp"
#include "onnx.hpp"
#include "parts.hpp"
#include "plan.hpp"
#include "stream.hpp"

#include <chrono>
#include <memory>

namespace egret_double {

class Inspector final : public nvinfer1::IEngineInspector, public nvinfer1::apiv::StubEngineInspector {
public:
    explicit Inspector(std::string json) : json_{std::move(json)} { mImpl = this; }
    char const* getEngineInformation(nvinfer1::LayerInformationFormat) const noexcept override { return json_.c_str(); }

private:
    std::string json_;
};

class Engine final : public nvinfer1::ICudaEngine, public nvinfer1::apiv::StubCudaEngine, Counted {
public:
    Engine(Plan plan, Graph graph, nvinfer1::ILogger* logger) : plan_{std::move(plan)}, graph_{std::move(graph)}, reporter_{logger} {
        mImpl = this;
        shapes_ = infer(graph_, graph_.inputs);
        for (auto const& input : graph_.inputs) {
            names_.push_back(input.first);
        }
        names_.insert(names_.end(), graph_.outputs.begin(), graph_.outputs.end());
    }
    Graph const& graph() const { return graph_; }
    Plan const& plan() const { return plan_; }
    bool is_input(std::string const& name) const {
        return std::any_of(graph_.inputs.begin(), graph_.inputs.end(), [&](auto const& input) { return input.first == name; });
    }

    void setErrorRecorder(nvinfer1::IErrorRecorder* recorder) noexcept override { reporter_.set(recorder); }
    int32_t getNbIOTensors() const noexcept override { return static_cast<int32_t>(names_.size()); }
    int32_t getNbOptimizationProfiles() const noexcept override { return static_cast<int32_t>(std::max<size_t>(plan_.profiles.size(), 1)); }
    int32_t getNbLayers() const noexcept override { return static_cast<int32_t>(graph_.nodes.size()); }
    char const* getIOTensorName(int32_t index) const noexcept override { return names_[static_cast<size_t>(index)].c_str(); }
    nvinfer1::DataType getTensorDataType(char const*) const noexcept override { return nvinfer1::DataType::kFLOAT; }
    nvinfer1::TensorFormat getTensorFormat(char const*) const noexcept override { return nvinfer1::TensorFormat::kLINEAR; }
    nvinfer1::TensorLocation getTensorLocation(char const*) const noexcept override { return nvinfer1::TensorLocation::kDEVICE; }
    nvinfer1::TensorIOMode getTensorIOMode(char const* name) const noexcept override {
        return is_input(name) ? nvinfer1::TensorIOMode::kINPUT : nvinfer1::TensorIOMode::kOUTPUT;
    }
    nvinfer1::Dims getTensorShape(char const* name) const noexcept override {
        auto const found = shapes_.find(name);
        return found == shapes_.end() ? no_dims() : dims(found->second);
    }
    nvinfer1::Dims getProfileShape(char const* name, int32_t profile, nvinfer1::OptProfileSelector which) const noexcept override {
        auto const index = static_cast<size_t>(profile);
        if (index < plan_.profiles.size()) {
            for (auto const& range : plan_.profiles[index]) {
                if (range.name == name) {
                    using Selector = nvinfer1::OptProfileSelector;
                    return dims(which == Selector::kMIN ? range.min : which == Selector::kOPT ? range.opt : range.max);
                }
            }
        }
        return is_input(name) ? getTensorShape(name) : no_dims();
    }
    int64_t getDeviceMemorySizeV2() const noexcept override {
        int64_t most = 0;
        for (int32_t p = 0; p < getNbOptimizationProfiles(); ++p) {
            most = std::max(most, getDeviceMemorySizeForProfileV2(p));
        }
        return most;
    }
    int64_t getDeviceMemorySizeForProfileV2(int32_t profile) const noexcept override {
        auto inputs = graph_.inputs;
        for (auto& input : inputs) {
            input.second = shape_of(getProfileShape(input.first.c_str(), profile, nvinfer1::OptProfileSelector::kMAX));
        }
        auto const shapes = infer(graph_, inputs);
        int64_t bytes = 0;
        for (auto const& node : graph_.nodes) {
            bytes += volume(shapes.at(node.output)) * static_cast<int64_t>(sizeof(float));
        }
        return bytes;
    }
    nvinfer1::IEngineInspector* createEngineInspector() const noexcept override;
    nvinfer1::IExecutionContext* createExecutionContext(nvinfer1::ExecutionContextAllocationStrategy strategy) noexcept override;

private:
    Plan plan_;
    Graph graph_;
    Reporter reporter_;
    std::map<std::string, Shape> shapes_;
    std::vector<std::string> names_;
};

inline nvinfer1::IEngineInspector* Engine::createEngineInspector() const noexcept {
    std::string layers;
    for (auto const& node : graph_.nodes) {
        layers += (layers.empty() ? "\"" : ",\"") + node.name + "\"";
    }
    return new Inspector{"{\"Layers\":[" + layers + "],\"Options\":" + plan_.options + "}"};
}

class Context final : public nvinfer1::IExecutionContext, public nvinfer1::apiv::StubExecutionContext, Counted {
public:
    Context(Engine& engine, bool own_memory, nvinfer1::ILogger* logger) : engine_{engine}, needs_memory_{own_memory}, reporter_{logger} {
        mImpl = this;
        for (auto const& input : engine_.graph().inputs) {
            shapes_[input.first] = input.second;
        }
    }
    void setErrorRecorder(nvinfer1::IErrorRecorder* recorder) noexcept override { reporter_.set(recorder); }
    bool setOptimizationProfileAsync(int32_t profile, cudaStream_t) noexcept override {
        profile_ = profile;
        return true;
    }
    void setDeviceMemoryV2(void* memory, int64_t bytes) noexcept override {
        needs_memory_ = memory == nullptr || bytes < engine_.getDeviceMemorySizeForProfileV2(profile_);
    }
    bool setInputShape(char const* name, nvinfer1::Dims const& wanted) noexcept override {
        using Selector = nvinfer1::OptProfileSelector;
        auto const min = engine_.getProfileShape(name, profile_, Selector::kMIN), max = engine_.getProfileShape(name, profile_, Selector::kMAX);
        bool fits = engine_.is_input(name) && wanted.nbDims == min.nbDims;
        for (int32_t i = 0; fits && i < wanted.nbDims; ++i) {
            fits = wanted.d[i] >= min.d[i] && wanted.d[i] <= max.d[i];
        }
        if (!fits) {
            reporter_.fail(nvinfer1::ErrorCode::kINVALID_ARGUMENT, std::string{"Static dimension mismatch or outside of the profile: "} + name);
            return false;
        }
        auto& shape = shapes_[name];
        *state_ += shape == shape_of(wanted) ? 0 : 1;
        shape = shape_of(wanted);
        return true;
    }
    nvinfer1::Dims getTensorShape(char const* name) const noexcept override {
        auto const all = infer(engine_.graph(), inputs());
        auto const found = all.find(name);
        return found == all.end() ? no_dims() : dims(found->second);
    }
    bool setTensorAddress(char const* name, void* address) noexcept override {
        if (reinterpret_cast<uintptr_t>(address) % 256 != 0) {
            reporter_.fail(nvinfer1::ErrorCode::kINVALID_ARGUMENT, std::string{"misaligned address for "} + name);
            return false;
        }
        ++*state_;
        addresses_[name] = static_cast<float*>(address);
        return true;
    }
    bool enqueueV3(cudaStream_t stream) noexcept override;

private:
    std::vector<std::pair<std::string, Shape>> inputs() const { return {shapes_.begin(), shapes_.end()}; }

    Engine& engine_;
    bool needs_memory_;
    Reporter reporter_;
    int32_t profile_ = 0;
    // Counts changes. What was recorded before one is worth nothing after it.
    std::shared_ptr<std::atomic<int>> state_ = std::make_shared<std::atomic<int>>(0);
    int settled_ = -1;
    std::map<std::string, Shape> shapes_;
    std::map<std::string, float*> addresses_;
    std::vector<std::unique_ptr<Task>> recorded_;
};

inline bool Context::enqueueV3(cudaStream_t stream) noexcept {
    if (knobs.enqueue_fails >= 0 && knobs.enqueue_fails-- <= 0) {
        knobs.enqueue_fails = 0;   // sticky: the context is lost
        reporter_.fail(nvinfer1::ErrorCode::kFAILED_EXECUTION, "Cuda Runtime (an illegal memory access was encountered)");
        return false;
    }
    auto const unset = [](auto const& input) { return std::any_of(input.second.begin(), input.second.end(), [](int64_t d) { return d < 0; }); };
    if (needs_memory_ || std::any_of(shapes_.begin(), shapes_.end(), unset)) {
        reporter_.fail(nvinfer1::ErrorCode::kINVALID_STATE, needs_memory_ ? "no device memory was given" : "not all shapes are specified");
        return false;
    }
    Driver const driver = knobs.driver != 0 ? Driver::loaded() : Driver{};
    auto* queue = reinterpret_cast<Stream*>(stream);
    bool const recording = driver.launch != nullptr ? driver.records(stream) : queue != nullptr && queue->recording != nullptr;
    int const now = *state_;
    if (recording && settled_ != now) {
        reporter_.fail(nvinfer1::ErrorCode::kINVALID_STATE, "enqueueV3 must run once after a change of shapes before it is captured");
        return false;
    }
    settled_ = now;
    auto const work = [&engine = engine_, shapes = shapes_, addresses = addresses_, us = knobs.enqueue_us.load(), recording, now, state = state_] {
        auto const done = std::chrono::steady_clock::now() + std::chrono::microseconds{us};
        std::map<std::string, Constant> values;
        for (auto const& input : shapes) {
            float const* from = addresses.at(input.first);
            values[input.first] = {input.second, {from, from + volume(input.second)}};
        }
        auto const results = evaluate(engine.graph(), std::move(values));
        for (auto const& output : engine.graph().outputs) {
            auto const& numbers = results.at(output).values;
            float const skew = static_cast<float>(knobs.skew.load()) / 1000;
            std::transform(numbers.begin(), numbers.end(), addresses.at(output), [skew](float number) { return number + skew; });
            if (recording && *state != now) {   // a stale graph
                std::fill_n(addresses.at(output), numbers.size(), std::nanf(""));
            }
        }
        std::this_thread::sleep_until(done);
    };
    if (driver.launch != nullptr) {
        return driver.put(stream, work, recording, recorded_);
    }
    if (stream == nullptr) {
        work();
    } else {
        queue->push(work);
    }
    return true;
}

inline nvinfer1::IExecutionContext* Engine::createExecutionContext(nvinfer1::ExecutionContextAllocationStrategy strategy) noexcept {
    bool const own = strategy == nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED;
    if (knobs.context_fails != 0 && !own) {
        reporter_.fail(nvinfer1::ErrorCode::kFAILED_ALLOCATION, "Requested amount of GPU memory could not be allocated: out of memory");
        return nullptr;
    }
    return new Context{*this, own, reporter_.logger()};
}

class Runtime final : public nvinfer1::IRuntime, public nvinfer1::apiv::StubRuntime, Counted {
public:
    explicit Runtime(nvinfer1::ILogger* logger) : reporter_{logger} { mImpl = this; }
    void setErrorRecorder(nvinfer1::IErrorRecorder* recorder) noexcept override { reporter_.set(recorder); }
    int32_t getNbDLACores() const noexcept override { return static_cast<int32_t>(knobs.dla_cores.load()); }
    void setDLACore(int32_t core) noexcept override { dla_core_ = core; }
    void setEngineHostCodeAllowed(bool) noexcept override {}
    nvinfer1::ICudaEngine* deserializeCudaEngine(void const* blob, size_t size) noexcept override {
        try {
            auto plan = read_plan(static_cast<char const*>(blob), size, version(), knobs.device.load());
            if (plan.dla_core >= 0 && plan.dla_core != dla_core_) {
                throw std::invalid_argument("the plan is for another DLA core");
            }
            std::vector<Complaint> complaints;
            auto graph = read_onnx(plan.onnx.data(), plan.onnx.size(), complaints);
            return new Engine{std::move(plan), std::move(graph), reporter_.logger()};
        } catch (std::exception const& error) {
            reporter_.fail(nvinfer1::ErrorCode::kUNSPECIFIED_ERROR, error.what());
            return nullptr;
        }
    }

private:
    Reporter reporter_;
    int32_t dla_core_ = -1;
};

}   // namespace egret_double
