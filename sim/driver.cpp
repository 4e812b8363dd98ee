// Runs a generated accelerator: feeds beats from a file, collects beats into another, and holds the machine to its
// interface sheet in every cycle, as contract.py does.
//
// Arguments are name=value, see main; "stimulus=" begins one more stimulus, to which all that follow belong. Lines on
// stdout: "frames N" about twice a second and at the end of each; then "stimulus 1" and "NAME N" for every result;
// "broken ..." says how the machine broke its contract. Host is little-endian.

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"
#include "verilated_sym_props.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif
#include "ports.h"

#include <algorithm>
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
using Settings = std::map<std::string, std::string>;

constexpr uint64_t COUNTER_TOP = 65535;
constexpr int RESET_CYCLES = 1;

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

// Set the registers behind the counters, where the Verilog has them by these names (see verilator.py).
template <class Root>
auto preset(Root* root, uint16_t value, int)
    -> decltype(root->bitfold__DOT__accelerator__DOT__input_guard__DOT__short_frames, bool()) {
    root->bitfold__DOT__accelerator__DOT__input_guard__DOT__short_frames = value;
    root->bitfold__DOT__accelerator__DOT__input_guard__DOT__long_frames = value;
    return true;
}
template <class Root>
bool preset(Root*, uint16_t, long) {
    return false;
}

// What stands on the outputs; a beat's parts are 0 while none is offered.
struct Outputs {
    bool valid = false;
    uint8_t last = 0;
    uint32_t user = 0;
    uint32_t short_frames = 0, long_frames = 0;
    std::vector<uint8_t> data;

    // The first part of the offer that differs, or nullptr.
    const char* offer_differs(const Outputs& other) const {
        if (valid != other.valid) return "m_axis_tvalid";
        if (data != other.data) return "m_axis_tdata";
        if (user != other.user) return "m_axis_tuser";
        if (last != other.last) return "m_axis_tlast";
        return nullptr;
    }

    // The same of all outputs.
    const char* differs(const Outputs& other) const {
        if (const char* name = offer_differs(other)) return name;
        if (short_frames != other.short_frames) return "short_frames";
        if (long_frames != other.long_frames) return "long_frames";
        return nullptr;
    }
};

class Machine {
public:
    VerilatedContext context;
    Vtop top{&context};

    explicit Machine(const std::string& vcd) {
#if VM_TRACE
        if (!vcd.empty()) {
            context.traceEverOn(true);
            trace_ = std::make_unique<VerilatedVcdC>();
            top.trace(trace_.get(), 99);
            trace_->open(vcd.c_str());
        }
#else
        (void)vcd;
#endif
    }

    void edge(bool level) {
        top.clk = level;
        top.eval();
#if VM_TRACE
        if (trace_) trace_->dump(5 * time_);
#endif
        ++time_;
    }

    void read(Outputs& now, size_t bytes) const {
        now.valid = top.m_axis_tvalid;
        now.last = now.valid ? top.m_axis_tlast : 0;
        now.user = now.valid ? ::user(top, 0) : 0;
        now.short_frames = top.short_frames;
        now.long_frames = top.long_frames;
        now.data.assign(bytes, 0);
        if (now.valid) std::memcpy(now.data.data(), static_cast<const void*>(&top.m_axis_tdata), bytes);
    }

    void close() {
#if VM_TRACE
        if (trace_) trace_->close();
#endif
        top.final();
    }

private:
    uint64_t time_ = 0;
#if VM_TRACE
    std::unique_ptr<VerilatedVcdC> trace_;
#endif
};

struct Files {
    std::FILE *in, *out, *frames;
};

// A bit of a weight memory that is flipped in front of a cycle.
struct Flip {
    uint64_t cycle;
    uint8_t* byte;
    uint8_t mask;
    void operator()() const { *byte ^= mask; }
};

// The flips of a file, the earliest first; memories are found by name where upsets.vlt makes them public.
std::vector<Flip> read_flips(const VerilatedContext& context, const std::string& name) {
    std::vector<Flip> flips;
    if (name.empty()) return flips;
    std::FILE* file = open(name, "r");
    unsigned long long cycle, word, bit;
    char memory[4096];
    while (std::fscanf(file, "%llu %4095s %llu %llu", &cycle, memory, &word, &bit) == 4) {
        const VerilatedScope* scope = context.scopeFind((std::string("TOP.") + memory).c_str());
        const VerilatedVar* words = scope ? scope->varFind("words") : nullptr;
        if (!words || word >= words->totalSize() / words->entSize() || bit >= words->entBits())
            fail("the Verilog has no bit " + std::to_string(bit) + " of word " + std::to_string(word) + " in " + memory);
        uint8_t* first = static_cast<uint8_t*>(words->datap()) + word * words->entSize();
        flips.push_back({cycle, first + bit / 8, static_cast<uint8_t>(1 << bit % 8)});
    }
    if (!std::feof(file)) fail("not a file of flips: " + name);
    std::fclose(file);
    std::stable_sort(flips.begin(), flips.end(), [](const Flip& a, const Flip& b) { return a.cycle < b.cycle; });
    return flips;
}

// Play one stimulus from a reset on, with what loads the machine in front of it; false when it ends badly.
bool play(Machine& machine, Files files, const std::vector<uint32_t>& load, Settings& text, bool first_of_all) {
    auto number = [&](const char* name) -> uint64_t { return std::strtoull(text[name].c_str(), nullptr, 10); };
    const size_t in_bytes = number("in_bytes"), out_bytes = number("out_bytes");
    const uint64_t inputs = number("inputs"), in_beats = number("in_beats"), out_beats = number("out_beats");
    const uint64_t watchdog = number("watchdog"), drain = number("drain");
    const uint64_t cut_in = number("cut_in"), cut_out = number("cut_out");
    const bool patient = number("patient");
    const double pauses = std::strtod(text["pauses"].c_str(), nullptr);
    const bool pausing = pauses > 0;
    const uint64_t threshold = pausing ? static_cast<uint64_t>(pauses * 18446744073709551616.0) : 0;
    Random idle{2 * number("seed")}, stall{2 * number("seed") + 1};
    Vtop& top = machine.top;
    if (sizeof(top.s_axis_tdata) < in_bytes || sizeof(top.m_axis_tdata) < out_bytes)
        fail("the data ports are narrower than the beats");

    std::string broken;
    uint64_t cycle = 0;
    auto breaks = [&](const std::string& what) {
        if (broken.empty()) broken = "in cycle " + std::to_string(cycle) + " " + what;
    };
    Outputs before, now, held;
    auto check_still = [&]() {
        machine.read(now, out_bytes);
        if (const char* name = now.differs(before)) breaks(std::string(name) + " changes between two rising edges of clk");
    };

    // A reset acts at a rising edge, and then nothing is offered or counted.
    machine.read(before, out_bytes);
    reset(top, true, 0);
    top.s_axis_tvalid = 0;
    set_last(top, false, 0);
    top.m_axis_tready = 0;
    if (!first_of_all) {
        top.eval();
        check_still();
    }
    for (int i = 0; i < RESET_CYCLES; ++i) {
        machine.edge(false);
        if (i == 0 && !first_of_all) check_still();
        machine.edge(true);
        machine.read(now, out_bytes);
        const char* name = now.valid ? "m_axis_tvalid"
                         : now.short_frames ? "short_frames"
                         : now.long_frames ? "long_frames"
                         : corrected(top, 0) ? "upsets_corrected"
                         : detected(top, 0) ? "upsets_detected" : nullptr;
        if (name && broken.empty()) broken = std::string(name) + " is not 0 after a rising edge of clk with rst high";
    }
    reset(top, false, 0);
    for (size_t word = 0; word < load.size(); ++word) {
        bool ready = false;
        for (uint64_t waited = 0; !ready; ++waited) {
            if (waited >= watchdog) fail("the machine takes no more words of a load");
            ready = offer_load(top, true, load[word], word + 1 == load.size(), 0);
            machine.edge(false);
            machine.edge(true);
        }
    }
    offer_load(top, false, 0, false, 0);
    uint64_t bad[2] = {0, 0};  // frames that ended early, late
    if (const uint64_t start = number("preset"); start && preset(top.rootp, static_cast<uint16_t>(start), 0)) {
        bad[0] = bad[1] = start;
        top.eval();
    }
    machine.read(before, out_bytes);

    std::vector<uint8_t> in_beat(1 + in_bytes);
    uint64_t quiet = 0, loaded = 0, sent = 0, received = 0, good = 0, frames = 0, in_frame = 0, first = 0;
    bool offering = false, starting = true, dropping = false, stalled = false, complete = false;
    const std::vector<Flip> flips = read_flips(machine.context, text["flips"]);
    size_t flipped = 0;
    auto reported = Clock::now();
    auto tell = [&]() {
        std::printf("frames %llu\n", static_cast<unsigned long long>(received / out_beats));
        std::fflush(stdout);
    };

    for (;; ++cycle) {
        complete = sent == inputs && received == good * out_beats;
        if (!broken.empty() || quiet >= watchdog || (complete && quiet >= drain)) break;
        if ((cut_in && sent >= cut_in) || (cut_out && received >= cut_out)) break;
        for (; flipped < flips.size() && flips[flipped].cycle <= cycle; ++flipped) flips[flipped]();
        if (!offering && sent < inputs && !(pausing && idle.next() < threshold)) {
            if (std::fread(in_beat.data(), in_beat.size(), 1, files.in) != 1) fail("the input file is too short");
            ++loaded;
            std::memcpy(static_cast<void*>(&top.s_axis_tdata), in_beat.data() + 1, in_bytes);
            set_last(top, in_beat[0], 0);
            offering = true;
        }
        top.s_axis_tvalid = offering;
        top.m_axis_tready = !(pausing && stall.next() < threshold) && (stalled || !patient);
        // The inputs have changed, and the clock has not: so has no output.
        top.eval();
        check_still();
        const bool ready = top.s_axis_tready;
        machine.edge(false);
        check_still();
        if (ready != static_cast<bool>(top.s_axis_tready)) breaks("s_axis_tready changes between two rising edges of clk");

        if (now.short_frames != bad[0] || now.long_frames != bad[1])
            breaks("short_frames and long_frames are " + std::to_string(now.short_frames) + " and "
                   + std::to_string(now.long_frames) + " and must be " + std::to_string(bad[0]) + " and "
                   + std::to_string(bad[1]));
        if (stalled && held.offer_differs(now))
            breaks(std::string("m_axis ") + (now.valid ? "changed" : "withdrew") + " a beat that was not yet taken");
        if (now.valid) {
            const uint64_t place = received % out_beats + 1;
            if (received == good * out_beats)
                breaks("m_axis offers a beat, and no good frame has gone in that has not come out");
            else if (now.last != (place == out_beats))
                breaks("m_axis_tlast is " + std::to_string(now.last) + " with beat " + std::to_string(place) + " of "
                       + std::to_string(out_beats));
        }
        const bool taken = offering && ready, given = now.valid && top.m_axis_tready;
        stalled = now.valid && !given;
        if (stalled) held = now;
        if (given) {
            std::fwrite(&cycle, sizeof cycle, 1, files.out);
            std::fwrite(&now.user, sizeof now.user, 1, files.out);
            std::fwrite(now.data.data(), out_bytes, 1, files.out);
            ++received;
        }
        // A cycle in which the source or the sink is what the machine waits for says nothing.
        const bool waiting = stalled || (ready && !offering && sent < inputs);
        if (taken) {
            const bool last = in_beat[0];
            if (starting) first = cycle;
            starting = last;
            if (last) {
                std::fwrite(&first, sizeof first, 1, files.frames);
                std::fwrite(&cycle, sizeof cycle, 1, files.frames);
                ++frames;
            }
            const bool whole = ++in_frame == in_beats;
            if (dropping || last || whole) {
                if (!dropping && last && whole) ++good;
                else if (!dropping) bad[whole] = std::min(bad[whole] + 1, COUNTER_TOP);
                dropping = !last;
                in_frame = 0;
            }
            offering = false;
            ++sent;
        }
        quiet = taken || given ? 0 : quiet + !waiting;
        machine.edge(true);
        machine.read(before, out_bytes);
        if ((cycle & 1023) == 0 && Clock::now() - reported > std::chrono::milliseconds(500)) {
            reported = Clock::now();
            tell();
        }
    }
    tell();
    if (flips.empty() && (corrected(top, 0) || detected(top, 0))) breaks("upsets are counted, and no bit was flipped");
    while (flipped) flips[--flipped]();  // the next stimulus has the memories as they were
    // A stimulus that is cut leaves beats.
    std::fseek(files.in, static_cast<long>((inputs - loaded) * in_beat.size()), SEEK_CUR);
    const bool stuck = quiet >= watchdog && !complete;
    const std::pair<const char*, uint64_t> results[] = {
        {"stimulus", 1}, {"sent", sent}, {"received", received}, {"in_frames", frames}, {"s_valid", offering},
        {"s_ready", top.s_axis_tready}, {"m_valid", top.m_axis_tvalid}, {"m_ready", top.m_axis_tready},
        {"cycles", cycle}, {"stuck", stuck}, {"short_frames", bad[0]}, {"long_frames", bad[1]},
        {"corrected", corrected(top, 0)}, {"detected", detected(top, 0)},
    };
    for (const auto& [name, value] : results) std::printf("%s %llu\n", name, static_cast<unsigned long long>(value));
    if (!broken.empty()) std::printf("broken %s\n", broken.c_str());
    return broken.empty() && !stuck;
}

}  // namespace

int main(int argc, char** argv) {
    Settings common;
    std::vector<Settings> stimuli;
    for (int i = 1; i < argc; ++i) {
        const std::string arg = argv[i];
        const size_t equals = arg.find('=');
        if (equals == std::string::npos) fail("not name=value: " + arg);
        const std::string name = arg.substr(0, equals);
        if (name == "stimulus") stimuli.emplace_back();
        else (stimuli.empty() ? common : stimuli.back())[name] = arg.substr(equals + 1);
    }
    const Files files{open(common["in"], "rb"), open(common["out"], "wb"), open(common["frames"], "wb")};
    std::vector<uint32_t> load;
    std::FILE* words = open(common["load"], "rb");
    for (uint32_t word; std::fread(&word, sizeof word, 1, words) == 1;) load.push_back(word);
    std::fclose(words);
    Machine machine(common["vcd"]);
    for (size_t i = 0; i < stimuli.size(); ++i)
        if (!play(machine, files, load, stimuli[i], i == 0)) break;
    machine.close();
    std::fclose(files.out);
    std::fclose(files.frames);
    return 0;
}
