// TensorRT's headers name two types of the CUDA runtime and nothing else of it. With these two lines they compile without a CUDA
// toolkit; a stream is a pointer in the driver API, too, where it is called CUstream.
#pragma once
typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;
