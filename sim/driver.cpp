// Runs a generated accelerator: feeds beats from a file, collects beats into another.
//
// Arguments are name=value, see main. Lines on stdout: "frames N" about twice a second; at the end "NAME N"
// for every result; any other line says how the output stream broke its contract. Host is little-endian.

#include "Vtop.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& message) {
    std::fprintf(stderr, "%s\n", message.c_str());
    std::exit(3);
}

std::FILE* open(const std::string& name, const char* mode) {
    std::FILE* file = std::fopen(name.c_str(), mode);
    if (!file) fail("cannot open " + name);
    return file;
}

// splitmix64: a pause is one draw below the threshold
struct Random {
    uint64_t state;
    uint64_t next() {
        uint64_t z = (state += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
};

}  // namespace

int main(int argc, char** argv) {
    std::map<std::string, std::string> text;
    for (int i = 1; i < argc; ++i) {
        const std::string arg = argv[i];
        const size_t equals = arg.find('=');
        if (equals == std::string::npos) fail("not name=value: " + arg);
        text[arg.substr(0, equals)] = arg.substr(equals + 1);
    }
    auto number = [&](const char* name) -> uint64_t { return std::strtoull(text[name].c_str(), nullptr, 10); };
    const size_t in_bytes = number("in_bytes"), out_bytes = number("out_bytes");
    const uint64_t outputs = number("outputs"), watchdog = number("watchdog"), drain = number("drain");
    const double pauses = std::strtod(text["pauses"].c_str(), nullptr);
    const bool pausing = pauses > 0;
    const uint64_t threshold = pausing ? static_cast<uint64_t>(pauses * 18446744073709551616.0) : 0;
    Random idle{2 * number("seed")}, stall{2 * number("seed") + 1};

    auto context = std::make_unique<VerilatedContext>();
    auto top = std::make_unique<Vtop>(context.get());
    if (sizeof(top->s_axis_tdata) < in_bytes || sizeof(top->m_axis_tdata) < out_bytes)
        fail("the data ports are narrower than the beats");

    std::FILE* in = open(text["in"], "rb");
    std::FILE* out = open(text["out"], "wb");
    std::FILE* log = open(text["frames"], "wb");
    std::vector<uint8_t> in_beat(1 + in_bytes), out_beat(out_bytes), held(out_bytes);
    uint64_t remaining = number("inputs");

#if VM_TRACE
    std::unique_ptr<VerilatedVcdC> trace;
    if (!text["vcd"].empty()) {
        context->traceEverOn(true);
        trace = std::make_unique<VerilatedVcdC>();
        top->trace(trace.get(), 99);
        trace->open(text["vcd"].c_str());
    }
#endif
    uint64_t time = 0;
    auto edge = [&](bool level) {
        top->clk = level;
        top->eval();
#if VM_TRACE
        if (trace) trace->dump(5 * time);
#endif
        ++time;
    };

    top->s_axis_tvalid = 0;
    top->s_axis_tlast = 0;
    top->m_axis_tready = 0;
    top->rst = 1;
    for (int i = 0; i < 4; ++i) {
        edge(false);
        edge(true);
    }
    top->rst = 0;

    uint64_t cycle = 0, quiet = 0, sent = 0, received = 0, frames = 0, after = 0, first = 0;
    bool offering = false, starting = true, stuck = false, stalled = false;
    uint32_t held_user = 0;
    bool held_last = false;
    std::string broken;
    auto reported = Clock::now();

    for (;; ++cycle) {
        if (received > outputs || (received == outputs && remaining == 0 && after++ >= drain)) break;
        if (quiet >= watchdog) {
            stuck = true;
            break;
        }
        if (!offering && remaining && !(pausing && idle.next() < threshold)) {
            if (std::fread(in_beat.data(), in_beat.size(), 1, in) != 1) fail("the input file is too short");
            std::memcpy(static_cast<void*>(&top->s_axis_tdata), in_beat.data() + 1, in_bytes);
            top->s_axis_tlast = in_beat[0];
            offering = true;
        }
        top->s_axis_tvalid = offering;
        top->m_axis_tready = !(pausing && stall.next() < threshold);
        edge(false);
        const bool taken = offering && top->s_axis_tready;
        const bool given = top->m_axis_tvalid && top->m_axis_tready;
        if (top->m_axis_tvalid || stalled) {
            std::memcpy(out_beat.data(), static_cast<const void*>(&top->m_axis_tdata), out_bytes);
            if (stalled && !(top->m_axis_tvalid && out_beat == held && top->m_axis_tuser == held_user
                             && top->m_axis_tlast == held_last)) {
                broken = top->m_axis_tvalid ? "changed" : "withdrew";
                break;
            }
        }
        stalled = top->m_axis_tvalid && !top->m_axis_tready;
        if (stalled) {
            held = out_beat;
            held_user = top->m_axis_tuser;
            held_last = top->m_axis_tlast;
        }
        if (taken) {
            if (starting) first = cycle;
            starting = in_beat[0];
            if (starting) {
                std::fwrite(&first, sizeof first, 1, log);
                std::fwrite(&cycle, sizeof cycle, 1, log);
            }
            offering = false;
            --remaining;
            ++sent;
        }
        if (given) {
            const uint32_t user = top->m_axis_tuser;
            const uint8_t last = top->m_axis_tlast;
            std::fwrite(&cycle, sizeof cycle, 1, out);
            std::fwrite(&user, sizeof user, 1, out);
            std::fwrite(&last, sizeof last, 1, out);
            std::fwrite(out_beat.data(), out_bytes, 1, out);
            ++received;
            frames += last;
        }
        quiet = taken || given ? 0 : quiet + 1;
        edge(true);
        if ((cycle & 1023) == 0 && Clock::now() - reported > std::chrono::milliseconds(500)) {
            reported = Clock::now();
            std::printf("frames %llu\n", static_cast<unsigned long long>(frames));
            std::fflush(stdout);
        }
    }
#if VM_TRACE
    if (trace) trace->close();
#endif
    top->final();
    std::fclose(out);
    std::fclose(log);
    if (!broken.empty())
        std::printf("in cycle %llu m_axis %s a beat that was not yet taken\n",
                    static_cast<unsigned long long>(cycle), broken.c_str());
    std::printf("sent %llu\nreceived %llu\ns_valid %d\ns_ready %d\nm_valid %d\nm_ready %d\n",
                static_cast<unsigned long long>(sent), static_cast<unsigned long long>(received), offering,
                top->s_axis_tready, top->m_axis_tvalid, top->m_axis_tready);
    std::printf("frames %llu\ncycles %llu\nstuck %d\nshort_frames %u\nlong_frames %u\n",
                static_cast<unsigned long long>(frames), static_cast<unsigned long long>(cycle), stuck,
                static_cast<unsigned>(top->short_frames), static_cast<unsigned>(top->long_frames));
    return 0;
}
