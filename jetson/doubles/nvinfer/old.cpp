// A stand-in for libnvinfer of releases that egret refuses: all that is asked of them is their version.
#include <cstdint>

extern "C" __attribute__((visibility("default"))) int32_t getInferLibVersion() noexcept { return EGRET_DOUBLE_VERSION; }
