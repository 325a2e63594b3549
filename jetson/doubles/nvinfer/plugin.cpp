// A stand-in for libnvinfer_plugin, for tests: registering says so in the log.
#include <NvInfer.h>

extern "C" __attribute__((visibility("default"))) bool initLibNvInferPlugins(void* logger, char const* name_space) noexcept {
    static_cast<nvinfer1::ILogger*>(logger)->log(nvinfer1::ILogger::Severity::kINFO, "[double] plugins registered");
    return name_space != nullptr;
}
