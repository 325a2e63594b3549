// Logger, error recorder and progress monitor: what TensorRT calls back.
#pragma once

#include "shim.h"

#include <NvInfer.h>
#include <NvOnnxParser.h>

#include <atomic>
#include <exception>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

// Everything here has internal linkage: two majors are linked into one binary.
namespace {

class Logger final : public nvinfer1::ILogger {
public:
    explicit Logger(egret_trt_calls const& calls) : calls_{calls} {}
    void log(Severity severity, char const* message) noexcept override {
        calls_.log(calls_.user, static_cast<int32_t>(severity), message != nullptr ? message : "");
    }

private:
    egret_trt_calls calls_;
};

// Keeps the errors of one owner until Rust fetches them. Bounded: a device that fails repeats itself.
class Recorder final : public nvinfer1::IErrorRecorder {
public:
    int32_t getNbErrors() const noexcept override {
        std::lock_guard<std::mutex> const lock{mutex_};
        return static_cast<int32_t>(errors_.size());
    }
    nvinfer1::ErrorCode getErrorCode(int32_t index) const noexcept override {
        std::lock_guard<std::mutex> const lock{mutex_};
        bool const known = index >= 0 && static_cast<size_t>(index) < errors_.size();
        return known ? errors_[static_cast<size_t>(index)].first : nvinfer1::ErrorCode::kINVALID_ARGUMENT;
    }
    ErrorDesc getErrorDesc(int32_t index) const noexcept override {
        std::lock_guard<std::mutex> const lock{mutex_};
        bool const known = index >= 0 && static_cast<size_t>(index) < errors_.size();
        return known ? errors_[static_cast<size_t>(index)].second.c_str() : "";
    }
    bool hasOverflowed() const noexcept override { return overflowed_.load(); }
    void clear() noexcept override {
        std::lock_guard<std::mutex> const lock{mutex_};
        errors_.clear();
        overflowed_ = false;
    }
    bool reportError(nvinfer1::ErrorCode code, ErrorDesc description) noexcept override {
        try {
            std::lock_guard<std::mutex> const lock{mutex_};
            if (errors_.size() < kMost) {
                errors_.emplace_back(code, description != nullptr ? description : "");
            } else {
                overflowed_ = true;
            }
        } catch (...) {
            overflowed_ = true;
        }
        return false;   // not for the recorder to end a thread
    }
    RefCount incRefCount() noexcept override { return ++references_; }
    RefCount decRefCount() noexcept override { return --references_; }

    std::vector<std::pair<nvinfer1::ErrorCode, std::string>> take() {
        std::lock_guard<std::mutex> const lock{mutex_};
        overflowed_ = false;
        return std::exchange(errors_, {});
    }

private:
    static constexpr size_t kMost = 64;
    mutable std::mutex mutex_;
    std::vector<std::pair<nvinfer1::ErrorCode, std::string>> errors_;
    std::atomic<bool> overflowed_{false};
    std::atomic<RefCount> references_{0};
};

class Monitor final : public nvinfer1::IProgressMonitor {
public:
    explicit Monitor(egret_trt_calls const& calls) : calls_{calls} {}
    void phaseStart(char const* phase, char const* parent, int32_t steps) noexcept override {
        calls_.progress(calls_.user, 0, phase, parent, steps);
    }
    bool stepComplete(char const* phase, int32_t step) noexcept override {
        return calls_.progress(calls_.user, 1, phase, nullptr, step) != 0;
    }
    void phaseFinish(char const* phase) noexcept override { calls_.progress(calls_.user, 2, phase, nullptr, 0); }

private:
    egret_trt_calls calls_;
};

struct Host {
    explicit Host(egret_trt_calls const& calls) : logger{calls}, monitor{calls}, monitored{calls.progress != nullptr} {}
    Logger logger;
    Recorder recorder;
    Monitor monitor;
    bool monitored;
};

Host& host_of(egret_trt_host* host) { return *reinterpret_cast<Host*>(host); }

// Runs `work`, which returns a status. What it throws ends here.
template <typename Work>
int32_t guarded(Recorder* recorder, Work work) noexcept {
    try {
        return work();
    } catch (std::exception const& error) {
        if (recorder != nullptr) {
            recorder->reportError(nvinfer1::ErrorCode::kUNSPECIFIED_ERROR, error.what());
        }
    } catch (...) {
        if (recorder != nullptr) {
            recorder->reportError(nvinfer1::ErrorCode::kUNSPECIFIED_ERROR, "a C++ exception of unknown type");
        }
    }
    return EGRET_TRT_EXCEPTION;
}

// What one of TensorRT's entry points made. Without a CUDA driver, createInferRuntime_INTERNAL of 10.16 and 11.4 (seen with the lean
// runtime of both) returns a null pointer to which the cast to a base class has added an offset: 0x228. No object lies in the first page.
template <typename Made>
Made* made(void* address) {
    return reinterpret_cast<uintptr_t>(address) < 4096 ? nullptr : static_cast<Made*>(address);
}

egret_trt_dims dims_out(nvinfer1::Dims const& dims) {
    egret_trt_dims out{};
    out.rank = dims.nbDims;
    for (int32_t i = 0; i < dims.nbDims && i < EGRET_TRT_MAX_DIMS; ++i) {
        out.d[i] = dims.d[i];
    }
    return out;
}

nvinfer1::Dims dims_in(egret_trt_dims const& dims) {
    nvinfer1::Dims out{};
    out.nbDims = dims.rank;
    for (int32_t i = 0; i < dims.rank && i < EGRET_TRT_MAX_DIMS; ++i) {
        out.d[i] = dims.d[i];
    }
    return out;
}

bool dims_valid(egret_trt_dims const& dims) { return dims.rank >= 0 && dims.rank <= EGRET_TRT_MAX_DIMS; }

void put_text(egret_trt_sink sink, char const* text) {
    if (text != nullptr) {
        sink.put(sink.user, text, std::char_traits<char>::length(text));
    }
}

int32_t host_new(egret_trt_calls const* calls, egret_trt_host** out) {
    return guarded(nullptr, [&] {
        if (calls == nullptr || calls->log == nullptr) {
            return EGRET_TRT_INVALID;
        }
        *out = reinterpret_cast<egret_trt_host*>(new Host{*calls});
        return EGRET_TRT_OK;
    });
}

void host_free(egret_trt_host* host) { delete reinterpret_cast<Host*>(host); }

void host_errors(egret_trt_host* host, void* user, void (*put)(void*, int32_t, char const*)) {
    guarded(nullptr, [&] {
        for (auto const& error : host_of(host).recorder.take()) {
            put(user, static_cast<int32_t>(error.first), error.second.c_str());
        }
        return EGRET_TRT_OK;
    });
}

int32_t host_init_plugins(egret_trt_host* host, egret_trt_init_plugins init) {
    Host& owner = host_of(host);
    return guarded(&owner.recorder, [&] { return init(&owner.logger, "") ? EGRET_TRT_OK : EGRET_TRT_REFUSED; });
}

}   // namespace
