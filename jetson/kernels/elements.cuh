// Elements of tensors: 16-bit floats without NVIDIA's header, which NVRTC does not carry, and what an input tensor is made of.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifdef __CUDACC__
#define INFINITY __int_as_float(0x7f800000)
#endif

// The bits of the nearest IEEE 754 binary16, ties to even.
__device__ inline u16 half_bits(float value) {
#ifdef __CUDACC__
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#else
    return egret_cpu::half_bits(value);
#endif
}

__device__ inline float half_value(u16 bits) {
#ifdef __CUDACC__
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
#else
    return egret_cpu::half_value(bits);
#endif
}

// What a value becomes in a tensor of each element. `quantum` is the step of a quantised tensor: the value of 1.
struct F32 {
    typedef float Cell;
    static const u32 per_thread = 1;
    __device__ static float of(float value, float) { return value; }
};

struct F16 {
    typedef u16 Cell;
    static const u32 per_thread = 2;
    __device__ static u16 of(float value, float) { return half_bits(value); }
};

// Symmetric, as Q/DQ nodes have it: rounded to the nearest, ties to even, saturated.
struct I8 {
    typedef signed char Cell;
    static const u32 per_thread = 2;
    __device__ static signed char of(float value, float quantum) {
        return (signed char)(int)fminf(fmaxf(rintf(value / quantum), -128.0f), 127.0f);
    }
};

// The samples themselves.
struct U8 {
    typedef u8 Cell;
    static const u32 per_thread = 2;
    __device__ static u8 of(float value, float) { return (u8)(int)fminf(fmaxf(roundf(value), 0.0f), 255.0f); }
};
