// The built-ins of CUDA that the kernels use, for a C++17 compiler: so that tests run the very sources on the CPU.
//
// The threads of a block are fibres of one thread. Between two barriers each runs alone, in ascending or in descending order as the
// caller asks: what depends on that order lacks a barrier, and the two results differ.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __launch_bounds__(threads)
// One block runs at a time, in one thread.
#define __shared__ static thread_local

namespace egret_cpu {

struct Dim {
    unsigned x, y, z;
};

// Ends the fibre's turn.
void barrier();

inline float half_value(unsigned short bits) {
    _Float16 half;
    std::memcpy(&half, &bits, sizeof half);
    return static_cast<float>(half);
}

inline unsigned short half_bits(float value) {
    const _Float16 half = static_cast<_Float16>(value);
    unsigned short bits;
    std::memcpy(&bits, &half, sizeof bits);
    return bits;
}

}  // namespace egret_cpu

extern thread_local egret_cpu::Dim threadIdx, blockIdx, blockDim, gridDim;

template <class T>
inline T __ldg(const T* at) {
    return *at;
}

inline void __syncthreads() { egret_cpu::barrier(); }

template <class T, class U>
inline T atomicAdd(T* at, U value) {
    const T before = *at;
    *at = before + static_cast<T>(value);
    return before;
}

template <class T>
inline T atomicMin(T* at, T value) {
    const T before = *at;
    if (value < before) *at = value;
    return before;
}

template <class T>
inline T atomicOr(T* at, T value) {
    const T before = *at;
    *at = before | value;
    return before;
}

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
