// What the page runs: Verilator's model of the machine, a frame from reset to its last logit, cycle by cycle.
//
// units.h names the signals that show what each unit does; the states are those of bitfold's sim/occupancy.py.

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"

#include <cstdint>

namespace {

using Signal = const uint8_t*;

// Handshakes of the words that leave a unit, of those that are its work where it gives fewer, and what says that its
// window goes on: nullptr where there is none.
struct Watch {
    Signal valid, ready, taken_valid, taken_ready, step;
};

#include "units.h"  // PIXELS, VALUES, and WATCHES(root): a Watch for each unit

enum State { TRANSFER, COMPUTE, STALL, STARVE, STATES };

VerilatedContext context;
Vtop top{&context};
const Watch watches[] = {WATCHES(*top.rootp)};
constexpr int UNITS = sizeof watches / sizeof *watches;

uint8_t pixels[PIXELS];
int32_t values[VALUES];
uint32_t states[UNITS][STATES];  // cycles of the last run
uint32_t words[UNITS];           // that have left each unit since reset
uint32_t cycles;
int sent, received;

bool on(Signal signal) { return signal && *signal; }

// A window says so late, by the few cycles that its memory takes.
State state(const Watch& unit) {
    if (on(unit.valid) && on(unit.ready)) return TRANSFER;
    if (on(unit.step) || (on(unit.taken_valid) && on(unit.taken_ready))) return COMPUTE;
    return on(unit.valid) ? STALL : STARVE;
}

// The source offers a pixel and the sink is ready in every cycle.
void cycle() {
    top.s_axis_tvalid = sent < PIXELS;
    top.s_axis_tdata = sent < PIXELS ? pixels[sent] : 0;
    top.s_axis_tlast = sent == PIXELS - 1;
    top.clk = 0;
    top.eval();
    for (int i = 0; i < UNITS; ++i) {
        const State now = state(watches[i]);
        ++states[i][now];
        words[i] += now == TRANSFER;
    }
    if (top.m_axis_tvalid) values[received++] = static_cast<int16_t>(top.m_axis_tdata);
    sent += top.s_axis_tvalid && top.s_axis_tready;
    top.clk = 1;
    top.eval();
    ++cycles;
}

}  // namespace

#define EXPORT(name) extern "C" __attribute__((export_name(#name)))

EXPORT(pixels) uint8_t* pixels_() { return pixels; }
EXPORT(values) int32_t* values_() { return values; }
EXPORT(states) uint32_t* states_() { return &states[0][0]; }
EXPORT(words) uint32_t* words_() { return words; }
EXPORT(cycles) uint32_t cycles_() { return cycles; }
EXPORT(received) int received_() { return received; }

// A reset, and a frame of what then stands in `pixels`.
EXPORT(start) void start() {
    top.rst = 1;
    top.s_axis_tvalid = 0;
    top.m_axis_tready = 1;
    for (int level : {0, 1}) {
        top.clk = level;
        top.eval();
    }
    top.rst = 0;
    for (uint32_t& count : words) count = 0;
    cycles = 0;
    sent = received = 0;
}

// At most so many cycles, up to the frame's last value; how many it were.
EXPORT(run) int run(int most) {
    for (auto& unit : states)
        for (uint32_t& count : unit) count = 0;
    int n = 0;
    for (; n < most && received < VALUES; ++n) cycle();
    return n;
}
