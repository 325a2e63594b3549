// Streams of a CUDA driver in place of the double's own, where a test says so: that of a double whose device memory is the host's, too.
#pragma once

#include <dlfcn.h>

#include <functional>
#include <memory>
#include <vector>

namespace egret_double {

using Task = std::function<void()>;

struct Driver {
    int (*launch)(void* stream, void (*function)(void*), void* user);
    int (*is_capturing)(void* stream, int* status);

    // The driver that this process has loaded.
    static Driver loaded() {
        void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
        Driver driver{};
        if (library != nullptr) {
            driver.launch = reinterpret_cast<decltype(driver.launch)>(dlsym(library, "cuLaunchHostFunc"));
            driver.is_capturing = reinterpret_cast<decltype(driver.is_capturing)>(dlsym(library, "cuStreamIsCapturing"));
        }
        return driver;
    }

    bool records(void* stream) const {
        int status = 0;
        return is_capturing(stream, &status) == 0 && status != 0;
    }

    // A task that is recorded may run any number of times: `kept` has it as long as that.
    bool put(void* stream, Task task, bool recording, std::vector<std::unique_ptr<Task>>& kept) const {
        auto owned = std::make_unique<Task>(std::move(task));
        if (recording) {
            kept.push_back(std::move(owned));
            return launch(stream, [](void* user) { (*static_cast<Task*>(user))(); }, kept.back().get()) == 0;
        }
        auto const once = [](void* user) { (*std::unique_ptr<Task>{static_cast<Task*>(user)})(); };
        return launch(stream, once, owned.release()) == 0;
    }
};

}   // namespace egret_double
