// What runtime and builder share: reporting errors, memory of the host, the objects that are counted.
#pragma once

#include "graph.hpp"
#include "knobs.hpp"
#include "stubs.hpp"

#include <NvInfer.h>

#include <algorithm>
#include <string>

namespace egret_double {

extern Knobs knobs;
int32_t version();

struct Counted {
    Counted() { ++knobs.objects; }
    ~Counted() { --knobs.objects; }
    Counted(Counted const&) = delete;
    Counted& operator=(Counted const&) = delete;
};

// Errors go to the recorder, when one is set, and to the log, as TensorRT's do.
class Reporter {
public:
    explicit Reporter(nvinfer1::ILogger* logger) : logger_{logger} {}
    ~Reporter() { set(nullptr); }
    void set(nvinfer1::IErrorRecorder* recorder) {
        if (recorder != nullptr) {
            recorder->incRefCount();
        }
        if (recorder_ != nullptr) {
            recorder_->decRefCount();
        }
        recorder_ = recorder;
    }
    nvinfer1::IErrorRecorder* recorder() const { return recorder_; }
    nvinfer1::ILogger* logger() const { return logger_; }
    void fail(nvinfer1::ErrorCode code, std::string const& what) const {
        if (recorder_ != nullptr) {
            recorder_->reportError(code, what.c_str());
        }
        logger_->log(nvinfer1::ILogger::Severity::kERROR, ("[double] Error Code " + std::to_string(static_cast<int>(code)) + ": " + what).c_str());
    }
    void info(std::string const& what) const { logger_->log(nvinfer1::ILogger::Severity::kINFO, ("[double] " + what).c_str()); }

private:
    nvinfer1::ILogger* logger_;
    nvinfer1::IErrorRecorder* recorder_ = nullptr;
};

inline nvinfer1::Dims dims(Shape const& shape) {
    nvinfer1::Dims out{};
    out.nbDims = static_cast<int32_t>(shape.size());
    std::copy(shape.begin(), shape.end(), out.d);
    return out;
}
inline nvinfer1::Dims no_dims() {
    nvinfer1::Dims out{};
    out.nbDims = -1;
    return out;
}
inline Shape shape_of(nvinfer1::Dims const& d) { return Shape(d.d, d.d + std::max<int32_t>(d.nbDims, 0)); }

class HostMemory final : public nvinfer1::IHostMemory, public nvinfer1::apiv::StubHostMemory {
public:
    explicit HostMemory(std::string bytes) : bytes_{std::move(bytes)} { mImpl = this; }
    void* data() const noexcept override { return const_cast<char*>(bytes_.data()); }
    size_t size() const noexcept override { return bytes_.size(); }
    nvinfer1::DataType type() const noexcept override { return nvinfer1::DataType::kUINT8; }

private:
    std::string bytes_;
};

}   // namespace egret_double
