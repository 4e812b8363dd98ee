// What the C++ library for WebAssembly leaves out and Verilator's runtime names: threads, of which there is one.
#pragma once

#include <chrono>
#include <mutex>

namespace std {
struct mutex {
    void lock() {}
    void unlock() {}
    bool try_lock() { return true; }
};
struct recursive_mutex : mutex {};
struct condition_variable_any {
    void notify_one() {}
    void notify_all() {}
    template <class Lock>
    void wait(Lock&) {}
    template <class Lock, class Done>
    void wait(Lock&, Done) {}
};
struct thread {
    template <class... Work>
    explicit thread(Work&&...) {}
    void join() {}
    static unsigned hardware_concurrency() { return 1; }
};
namespace this_thread {
inline int get_id() { return 0; }
inline void yield() {}
}  // namespace this_thread
}  // namespace std

#define thread_local
#define VL_IGNORE_UNKNOWN_ARCH
#define CLOCK_PROCESS_CPUTIME_ID CLOCK_MONOTONIC
