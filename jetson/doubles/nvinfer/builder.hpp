// IBuilder, IBuilderConfig, IOptimizationProfile, ITimingCache.
#pragma once

#include "network.hpp"
#include "runtime.hpp"

#include <set>

namespace egret_double {

class Profile final : public nvinfer1::IOptimizationProfile, public nvinfer1::apiv::StubOptimizationProfile {
public:
    Profile() { mImpl = this; }
    bool setDimensions(char const* name, nvinfer1::OptProfileSelector which, nvinfer1::Dims const& d) noexcept override {
        auto& range = ranges[name];
        range.name = name;
        using Selector = nvinfer1::OptProfileSelector;
        (which == Selector::kMIN ? range.min : which == Selector::kOPT ? range.opt : range.max) = shape_of(d);
        return true;
    }
    std::map<std::string, Range> ranges;
};

// "EGRETTIM", version, device, then the layers that were timed.
class TimingCache final : public nvinfer1::ITimingCache, public nvinfer1::apiv::StubTimingCache {
public:
    TimingCache(char const* blob, size_t size) {
        mImpl = this;
        std::string const head = header();
        matches = size == 0 || (size >= head.size() && std::memcmp(blob, head.data(), head.size()) == 0);
        if (matches && size != 0) {
            Reader reader{blob + head.size(), size - head.size()};
            for (auto n = reader.number<uint64_t>(); n > 0; --n) {
                timed.insert(reader.text());
            }
        }
    }
    nvinfer1::IHostMemory* serialize() const noexcept override {
        Writer w;
        w.out = header();
        w.number<uint64_t>(timed.size());
        for (auto const& layer : timed) {
            w.text(layer);
        }
        return new HostMemory{w.out};
    }
    std::set<std::string> timed;
    bool matches;

private:
    static std::string header() {
        Writer w;
        w.out = "EGRETTIM";
        w.number(version());
        w.number(knobs.device.load());
        return w.out;
    }
};

class Config final : public nvinfer1::IBuilderConfig, public nvinfer1::apiv::StubBuilderConfig {
public:
    Config() { mImpl = this; }
    void setFlag(nvinfer1::BuilderFlag flag) noexcept override { flags |= 1U << static_cast<uint32_t>(flag); }
    void clearFlag(nvinfer1::BuilderFlag flag) noexcept override { flags &= ~(1U << static_cast<uint32_t>(flag)); }
    bool getFlag(nvinfer1::BuilderFlag flag) const noexcept override { return (flags >> static_cast<uint32_t>(flag) & 1U) != 0; }
    void setProfilingVerbosity(nvinfer1::ProfilingVerbosity verbosity) noexcept override { set("verbosity", static_cast<int64_t>(verbosity)); }
    void setMemoryPoolLimit(nvinfer1::MemoryPoolType pool, size_t bytes) noexcept override {
        set(("pool" + std::to_string(static_cast<int>(pool))).c_str(), static_cast<int64_t>(bytes));
    }
    void setBuilderOptimizationLevel(int32_t level) noexcept override { set("level", level); }
    decltype(std::declval<nvinfer1::IBuilderConfig>().setMaxAuxStreams(0)) setMaxAuxStreams(int32_t streams) noexcept override {
        set("aux_streams", streams);
        return decltype(setMaxAuxStreams(0))(1);   // void in 10, bool in 11
    }
    void setMaxNbTactics(int32_t tactics) noexcept override { set("tactics", tactics); }
    void setHardwareCompatibilityLevel(nvinfer1::HardwareCompatibilityLevel level) noexcept override { set("hardware", static_cast<int64_t>(level)); }
    void setDefaultDeviceType(nvinfer1::DeviceType type) noexcept override { on_dla = type == nvinfer1::DeviceType::kDLA; }
    void setDLACore(int32_t core) noexcept override { dla_core = core; }
    // As on the real one: convolutions and activations, but no arithmetic of two tensors.
    bool canRunOnDLA(nvinfer1::ILayer const* layer) const noexcept override {
        return layer->getType() == nvinfer1::LayerType::kCONVOLUTION || layer->getType() == nvinfer1::LayerType::kACTIVATION;
    }
    void setProgressMonitor(nvinfer1::IProgressMonitor* m) noexcept override { monitor = m; }
    int32_t addOptimizationProfile(nvinfer1::IOptimizationProfile const* profile) noexcept override {
        profiles.push_back(static_cast<Profile const*>(profile)->ranges);
        return static_cast<int32_t>(profiles.size()) - 1;
    }
    nvinfer1::ITimingCache* createTimingCache(void const* blob, size_t size) const noexcept override {
        return new TimingCache{static_cast<char const*>(blob), size};
    }
    bool setTimingCache(nvinfer1::ITimingCache const& given, bool ignore_mismatch) noexcept override {
        auto const& other = static_cast<TimingCache const&>(given);
        if (!other.matches && !ignore_mismatch) {
            return false;
        }
        cache = const_cast<TimingCache*>(&other);
        return true;
    }
    nvinfer1::ITimingCache const* getTimingCache() const noexcept override { return cache; }
    std::string json() const {
        std::string out = "{\"flags\":" + std::to_string(flags) + ",\"dla\":" + std::to_string(on_dla ? dla_core : -1);
        for (auto const& setting : settings_) {
            out += ",\"" + setting.first + "\":" + std::to_string(setting.second);
        }
        return out + "}";
    }

    uint32_t flags = 1U << static_cast<uint32_t>(nvinfer1::BuilderFlag::kTF32);   // TensorRT's default
    bool on_dla = false;
    int32_t dla_core = -1;
    nvinfer1::IProgressMonitor* monitor = nullptr;
    std::vector<std::map<std::string, Range>> profiles;
    TimingCache* cache = nullptr;

private:
    void set(char const* key, int64_t value) { settings_[key] = value; }
    std::map<std::string, int64_t> settings_;
};

class Builder final : public nvinfer1::IBuilder, public nvinfer1::apiv::StubBuilder, Counted {
public:
    explicit Builder(nvinfer1::ILogger* logger) : reporter_{logger} { mImpl = this; }
    void setErrorRecorder(nvinfer1::IErrorRecorder* recorder) noexcept override { reporter_.set(recorder); }
    int32_t getNbDLACores() const noexcept override { return static_cast<int32_t>(knobs.dla_cores.load()); }
    bool setMaxThreads(int32_t threads) noexcept override { return threads >= 1; }
    nvinfer1::INetworkDefinition* createNetworkV2(nvinfer1::NetworkDefinitionCreationFlags flags) noexcept override {
        // egret builds no other kind; 10 would take one.
        auto const typed = 1U << static_cast<uint32_t>(nvinfer1::NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
        return flags == typed ? new Network : nullptr;
    }
    nvinfer1::IBuilderConfig* createBuilderConfig() noexcept override { return new Config; }
    nvinfer1::IOptimizationProfile* createOptimizationProfile() noexcept override {
        profiles_.push_back(std::make_unique<Profile>());
        return profiles_.back().get();
    }
    nvinfer1::IHostMemory* buildSerializedNetwork(nvinfer1::INetworkDefinition& network, nvinfer1::IBuilderConfig& config) noexcept override {
        try {
            return build(static_cast<Network&>(network), static_cast<Config&>(config));
        } catch (std::exception const& error) {
            reporter_.fail(nvinfer1::ErrorCode::kINVALID_ARGUMENT, error.what());
            return nullptr;
        }
    }

private:
    std::vector<std::vector<Range>> check(Network const& network, Config const& config) const;
    bool time_layers(Network const& network, Config& config) const;

    nvinfer1::IHostMemory* build(Network const& network, Config& config) const {
        auto const profiles = check(network, config);
        for (auto const& node : network.graph().nodes) {
            // A name that a test gives to what no tactic computes.
            if (node.output.find("unbuildable") != std::string::npos) {
                reporter_.fail(nvinfer1::ErrorCode::kINTERNAL_ERROR, "Internal Error (Could not find any implementation for node " + node.name + ".)");
                return nullptr;
            }
        }
        if (!time_layers(network, config)) {
            reporter_.info("the build was cancelled by the progress monitor");
            return nullptr;
        }
        Plan const plan{version(), knobs.device.load(), config.on_dla ? config.dla_core : -1, config.json(), profiles, network.onnx()};
        auto const bytes = write_plan(plan);
        Engine const engine{plan, network.graph(), reporter_.logger()};
        int64_t const most = knobs.build_memory;
        if (most >= 0 && engine.getDeviceMemorySizeV2() > most) {
            reporter_.fail(nvinfer1::ErrorCode::kFAILED_ALLOCATION, "Could not find any implementation: out of memory (OutOfMemory)");
            return nullptr;
        }
        return new HostMemory{bytes};
    }

    Reporter reporter_;
    std::vector<std::unique_ptr<Profile>> profiles_;
};

inline std::vector<std::vector<Range>> Builder::check(Network const& network, Config const& config) const {
    if (network.graph().outputs.empty()) {
        throw std::invalid_argument("Network must have at least one output");
    }
    std::vector<std::vector<Range>> profiles;
    for (auto const& profile : config.profiles) {
        profiles.emplace_back();
        for (auto const& entry : profile) {
            profiles.back().push_back(entry.second);
        }
    }
    for (auto const& input : network.graph().inputs) {
        bool const dynamic = std::count(input.second.begin(), input.second.end(), -1) > 0;
        if (dynamic && profiles.empty()) {
            throw std::invalid_argument("Network has dynamic or shape inputs, but no optimization profile has been defined");
        }
        for (auto const& profile : config.profiles) {
            auto const range = profile.find(input.first);
            bool fits = range == profile.end() ? !dynamic : range->second.max.size() == input.second.size();
            for (size_t i = 0; fits && range != profile.end() && i < input.second.size(); ++i) {
                fits = input.second[i] == -1 || input.second[i] == range->second.max[i];
            }
            if (!fits) {
                throw std::invalid_argument("the profile does not fit input " + input.first);
            }
        }
    }
    for (int32_t i = 0; config.on_dla && !config.getFlag(nvinfer1::BuilderFlag::kGPU_FALLBACK) && i < network.getNbLayers(); ++i) {
        if (!config.canRunOnDLA(network.getLayer(i))) {
            throw std::invalid_argument(std::string{"Layer cannot run on DLA and GPU fallback is disabled: "} + network.getLayer(i)->getName());
        }
    }
    return profiles;
}

// One phase within another, a step per layer that the cache does not know. False: cancelled.
inline bool Builder::time_layers(Network const& network, Config& config) const {
    auto* monitor = config.monitor;
    bool const uses_cache = config.cache != nullptr && !config.getFlag(nvinfer1::BuilderFlag::kDISABLE_TIMING_CACHE);
    std::vector<std::string> layers;
    for (auto const& node : network.graph().nodes) {
        if (!uses_cache || config.cache->timed.count(node.name) == 0) {
            layers.push_back(node.name);
        }
    }
    auto const count = static_cast<int32_t>(layers.size());
    bool going = true;
    if (monitor != nullptr) {
        monitor->phaseStart("Building Engine", nullptr, 1);
        monitor->phaseStart("Timing Layers", "Building Engine", count);
    }
    for (int32_t i = 0; going && i < count; ++i) {
        std::this_thread::sleep_for(std::chrono::microseconds{knobs.build_step_us.load()});
        if (uses_cache) {
            config.cache->timed.insert(layers[static_cast<size_t>(i)]);
        }
        going = monitor == nullptr || monitor->stepComplete("Timing Layers", i);
    }
    if (monitor != nullptr) {
        monitor->phaseFinish("Timing Layers");
        going = going && monitor->stepComplete("Building Engine", 0);
        monitor->phaseFinish("Building Engine");
    }
    return going;
}

}   // namespace egret_double
