// All kernels compiled for the CPU, and a way to launch them by name as the driver does.
#include "cuda.hpp"

#include "../dense.cu"
#include "../letterbox.cu"
#include "../select.cu"
#include "../sparse.cu"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <vector>

thread_local egret_cpu::Dim threadIdx, blockIdx, blockDim, gridDim;

namespace {

struct Kernel {
    const char* name;
    void (*run)(const void* params);
    std::size_t params;  // bytes
    bool barriers;       // whether its threads wait for each other
};

#define KERNEL(name, Params, barriers) \
    {#name, [](const void* params) { name(*static_cast<const Params*>(params)); }, sizeof(Params), barriers}

const Kernel KERNELS[] = {
    KERNEL(letterbox_planar_f32, Letterbox, false),      KERNEL(letterbox_planar_f16, Letterbox, false),
    KERNEL(letterbox_planar_i8, Letterbox, false),       KERNEL(letterbox_planar_u8, Letterbox, false),
    KERNEL(letterbox_interleaved_f32, Letterbox, false), KERNEL(letterbox_interleaved_f16, Letterbox, false),
    KERNEL(letterbox_interleaved_i8, Letterbox, false),  KERNEL(letterbox_interleaved_u8, Letterbox, false),
    KERNEL(scan_objectness, Scan, false),                KERNEL(scan_anchors, Scan, false),
    KERNEL(scan_table, Scan, false),                     KERNEL(scan_distribution, Scan, false),
    KERNEL(scan_decoded, Scan, false),                   KERNEL(scan_coverage, Scan, false),
    KERNEL(scan_final, Scan, false),                     KERNEL(scan_ssd, Scan, false),
    KERNEL(scan_queries, Scan, false),                   KERNEL(select_boxes, Select, true),
};

constexpr std::size_t STACK = 128 * 1024;

// A context begins it; jumps, which need no system call, go on.
struct Fibre {
    ucontext_t context;
    jmp_buf jump;
    char* stack;
    bool begun, done;
};

// A block under way: its fibres, and the one whose turn it is.
struct Block {
    const Kernel* kernel;
    const void* params;
    std::vector<Fibre> fibres;
    jmp_buf scheduler;
    std::size_t turn;
};

thread_local Block* block = nullptr;

egret_cpu::Dim thread_of(std::size_t index) {
    const unsigned i = static_cast<unsigned>(index);
    return {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
}

void enter() {
    block->kernel->run(block->params);
    block->fibres[block->turn].done = true;
    _longjmp(block->scheduler, 1);
}

// Lets a fibre run to its next barrier or to its end.
void resume(Block& own, Fibre& fibre) {
    if (_setjmp(own.scheduler)) return;
    if (fibre.begun) _longjmp(fibre.jump, 1);
    fibre.begun = true;
    setcontext(&fibre.context);
}

void run_block(Block& own, bool descending) {
    const std::size_t count = own.fibres.size();
    for (Fibre& fibre : own.fibres) {
        getcontext(&fibre.context);
        fibre.context.uc_stack.ss_sp = fibre.stack;
        fibre.context.uc_stack.ss_size = STACK;
        fibre.context.uc_link = nullptr;
        fibre.begun = fibre.done = false;
        makecontext(&fibre.context, enter, 0);
    }
    block = &own;
    for (std::size_t left = count; left > 0;) {
        for (std::size_t i = 0; i < count; i++) {
            own.turn = descending ? count - 1 - i : i;
            Fibre& fibre = own.fibres[own.turn];
            if (fibre.done) continue;
            threadIdx = thread_of(own.turn);
            resume(own, fibre);
            if (fibre.done) left--;
        }
    }
    block = nullptr;
}

void run_alone(const Kernel& kernel, const void* params, bool descending) {
    const std::size_t count = std::size_t{blockDim.x} * blockDim.y * blockDim.z;
    for (std::size_t i = 0; i < count; i++) {
        threadIdx = thread_of(descending ? count - 1 - i : i);
        kernel.run(params);
    }
}

}  // namespace

void egret_cpu::barrier() {
    if (!_setjmp(block->fibres[block->turn].jump)) _longjmp(block->scheduler, 1);
}

// All else is hidden: two libraries of these sources may be in one process.
#define EXPORTED extern "C" __attribute__((visibility("default")))

// Runs a grid. 0: done; 1: no such kernel; 2: its parameters have another size; 3: no memory.
EXPORTED int egret_launch(const char* name, const unsigned grid[3], const unsigned threads[3], const void* params,
                          std::size_t params_len, int descending) {
    const Kernel* kernel = nullptr;
    for (const Kernel& known : KERNELS)
        if (std::strcmp(known.name, name) == 0) kernel = &known;
    if (!kernel) return 1;
    if (kernel->params != params_len) return 2;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads[0], threads[1], threads[2]};
    Block own{};
    own.kernel = kernel, own.params = params;
    char* stacks = nullptr;
    const std::size_t count = std::size_t{threads[0]} * threads[1] * threads[2];
    if (kernel->barriers) {
        void* memory = mmap(nullptr, count * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) return 3;
        stacks = static_cast<char*>(memory);
        own.fibres.resize(count);
        for (std::size_t i = 0; i < count; i++) own.fibres[i].stack = stacks + i * STACK;
    }
    const std::size_t blocks = std::size_t{grid[0]} * grid[1] * grid[2];
    for (std::size_t i = 0; i < blocks; i++) {
        const unsigned at = static_cast<unsigned>(descending ? blocks - 1 - i : i);
        blockIdx = {at % grid[0], at / grid[0] % grid[1], at / grid[0] / grid[1]};
        if (kernel->barriers) {
            run_block(own, descending);
        } else {
            run_alone(*kernel, params, descending);
        }
    }
    if (stacks) munmap(stacks, count * STACK);
    return 0;
}
