// Streams of the double: work in order, on a thread of their own. A null stream works at once. Work can be recorded and repeated.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace egret_double {

using Tasks = std::vector<std::function<void()>>;

class Stream {
public:
    // While this is set, tasks are recorded there and not done. One thread at a time uses a stream.
    Tasks* recording = nullptr;

    Stream() : worker_{[this] { work(); }} {}
    ~Stream() {
        {
            std::lock_guard<std::mutex> const lock{mutex_};
            closing_ = true;
        }
        changed_.notify_all();
        worker_.join();
    }
    void push(std::function<void()> task) {
        if (recording != nullptr) {
            recording->push_back(std::move(task));
            return;
        }
        {
            std::lock_guard<std::mutex> const lock{mutex_};
            tasks_.push_back(std::move(task));
        }
        changed_.notify_all();
    }
    void synchronize() {
        std::unique_lock<std::mutex> lock{mutex_};
        changed_.wait(lock, [this] { return tasks_.empty(); });
    }

private:
    void work() {
        std::unique_lock<std::mutex> lock{mutex_};
        for (;;) {
            changed_.wait(lock, [this] { return closing_ || !tasks_.empty(); });
            if (tasks_.empty()) {
                return;
            }
            auto const& task = tasks_.front();
            lock.unlock();
            task();
            lock.lock();
            tasks_.pop_front();
            changed_.notify_all();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> tasks_;
    bool closing_ = false;
    std::thread worker_;
};

}   // namespace egret_double
