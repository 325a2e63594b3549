// A stand-in for libnvidia-ml.so.1, for tests: devices whose state is set from outside. Signatures and codes are those of nvml.h.
// EGRET_SPARSE leaves out what a small driver may not have, and has the older name of the clocks' reasons.

#include <cstdio>
#include <cstring>

namespace {
enum : int { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, SIZE = 7, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15 };

struct Knob {
    const char *name;
    long long rest, value;
};

Knob knobs[] = {
    {"init", SUCCESS, SUCCESS},         {"count", SUCCESS, SUCCESS}, {"lost", 0, 0},        {"load", 37, 37},
    {"memory_load", 12, 12},            {"decoder", 5, 5},           {"encoder", 0, 0},     {"celsius", 61, 61},
    {"milliwatts", 71500, 71500},       {"limit", 130000, 130000},   {"mhz", 1575, 1575},   {"reasons", 0, 0},
    {"utilization_code", SUCCESS, SUCCESS},
};
// Never falls: how often it was initialised less how often it was shut down.
int sessions = 0;

long long value(const char *name) {
    for (const Knob &knob : knobs)
        if (!std::strcmp(knob.name, name)) return knob.value;
    return 0;
}

int write(unsigned *to, long long what) {
    if (!to) return INVALID_ARGUMENT;
    *to = unsigned(what);
    return SUCCESS;
}

int text(char *to, unsigned length, const char *what) {
    if (std::strlen(what) + 1 > length) return SIZE;
    std::strcpy(to, what);
    return SUCCESS;
}
}  // namespace

#define API extern "C" __attribute__((visibility("default")))
#define DEVICE(device) \
    if (sessions <= 0) return UNINITIALIZED; \
    if (!(device)) return INVALID_ARGUMENT; \
    if (value("lost")) return GPU_IS_LOST

struct Utilization { unsigned gpu, memory; };
struct Memory { unsigned long long total, free, used; };

API int egret_nvml_set(const char *name, long long to) {
    if (!std::strcmp(name, "rest")) {
        for (Knob &knob : knobs) knob.value = knob.rest;
        return 1;
    }
    if (!std::strcmp(name, "sessions")) return sessions == int(to);
    for (Knob &knob : knobs)
        if (!std::strcmp(knob.name, name)) return knob.value = to, 1;
    return 0;
}

API int nvmlInit_v2() {
    if (value("init") == SUCCESS) ++sessions;
    return int(value("init"));
}
API int nvmlShutdown() { return sessions > 0 ? (--sessions, SUCCESS) : UNINITIALIZED; }
API const char *nvmlErrorString(int code) {
    return code == DRIVER_NOT_LOADED ? "Driver Not Loaded" : code == GPU_IS_LOST ? "GPU is lost" : "Unknown Error";
}
API int nvmlSystemGetDriverVersion(char *to, unsigned length) { return text(to, length, "580.65.06"); }
API int nvmlDeviceGetCount_v2(unsigned *count) {
    if (value("count") != SUCCESS) return int(value("count"));
#ifdef EGRET_SPARSE
    return write(count, 1);
#else
    return write(count, 2);
#endif
}
API int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    if (index == 0 && value("lost")) return GPU_IS_LOST;
    *device = &knobs[index];
    return SUCCESS;
}
API int nvmlDeviceGetName(void *device, char *to, unsigned length) {
    DEVICE(device);
    return text(to, length, device == &knobs[0] ? "NVIDIA Thor" : "NVIDIA Other");
}
API int nvmlDeviceGetUtilizationRates(void *device, Utilization *to) {
    DEVICE(device);
    if (value("utilization_code") != SUCCESS) return int(value("utilization_code"));
    *to = {unsigned(value("load")), unsigned(value("memory_load"))};
    return SUCCESS;
}
API int nvmlDeviceGetMemoryInfo(void *device, Memory *to) {
    DEVICE(device);
    *to = {128ull << 30, 120ull << 30, 8ull << 30};
    return SUCCESS;
}
API int nvmlDeviceGetClockInfo(void *device, int kind, unsigned *to) {
    DEVICE(device);
    if (kind == 1) return write(to, value("mhz"));
    return kind == 2 ? write(to, 4266) : NOT_SUPPORTED;
}

#ifdef EGRET_SPARSE
API int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *to) {
    DEVICE(device);
    *to = (unsigned long long)value("reasons");
    return SUCCESS;
}
#else
API int nvmlDeviceGetDecoderUtilization(void *device, unsigned *to, unsigned *period) {
    DEVICE(device);
    *period = 167000;
    return write(to, value("decoder"));
}
API int nvmlDeviceGetEncoderUtilization(void *device, unsigned *to, unsigned *period) {
    DEVICE(device);
    *period = 167000;
    return write(to, value("encoder"));
}
API int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *to) {
    DEVICE(device);
    return sensor == 0 ? write(to, value("celsius")) : INVALID_ARGUMENT;
}
API int nvmlDeviceGetPowerUsage(void *device, unsigned *to) {
    DEVICE(device);
    return write(to, value("milliwatts"));
}
API int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *to) {
    DEVICE(device);
    return write(to, value("limit"));
}
API int nvmlDeviceGetMaxClockInfo(void *device, int kind, unsigned *to) {
    DEVICE(device);
    return kind == 1 ? write(to, 1575) : NOT_SUPPORTED;
}
API int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *to) {
    DEVICE(device);
    *to = (unsigned long long)value("reasons");
    return SUCCESS;
}
// The older name is there too, and nobody is to prefer it.
API int nvmlDeviceGetCurrentClocksThrottleReasons(void *, unsigned long long *) { return NOT_SUPPORTED; }
#endif
