// Runs a board's top from pin to pin behind a pseudo-terminal: what is written there comes to the pin `rx` bit by bit,
// and what the pin `tx` says can be read there. Nothing moves while nobody speaks and all is quiet.
//
// Arguments: clock and baud in hertz, cycles of quiet after which the model rests, a named pipe from which each byte
// presses the reset button. The first line on stdout is the terminal's name.

#include "Vtop.h"
#include "verilated.h"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

namespace {

constexpr int LOOK_CYCLES = 64;     // between looks whether somebody has written
constexpr int PRESS_CYCLES = 1000;  // that the button is down
constexpr int REST_MS = 1000;

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "%s: %s\n", what.c_str(), std::strerror(errno));
    std::exit(3);
}

// The terminal, and the name of its other end.
std::pair<int, std::string> open_terminal() {
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (terminal < 0 || grantpt(terminal) || unlockpt(terminal)) fail("no pseudo-terminal");
    const char* name = ptsname(terminal);
    // Its other end stays open here too, or the last client's leaving would end it.
    const int client = open(name, O_RDWR | O_NOCTTY);
    termios settings;
    if (client < 0 || tcgetattr(client, &settings)) fail(name);
    cfmakeraw(&settings);
    if (tcsetattr(client, TCSANOW, &settings)) fail(name);
    return {terminal, name};
}

// Ends of bits, from a clock that is no multiple of them.
struct Pace {
    uint64_t clock, baud, phase = 0;
    bool step() {
        phase += baud;
        if (phase < clock) return false;
        phase -= clock;
        return true;
    }
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) return 2;
    const uint64_t clock = std::strtoull(argv[1], nullptr, 10), baud = std::strtoull(argv[2], nullptr, 10);
    const uint64_t quiet = std::strtoull(argv[3], nullptr, 10);
    const int button = open(argv[4], O_RDWR | O_NONBLOCK);
    if (button < 0) fail(argv[4]);
    const auto [terminal, name] = open_terminal();
    const auto top = std::make_unique<Vtop>();

    const auto tick = [&] {
        top->clk = 0;
        top->eval();
        top->clk = 1;
        top->eval();
    };

    // A board has come out of its reset long before somebody speaks to it.
    top->rx = 1;
    for (uint64_t cycle = 0; cycle < quiet; cycle++) tick();
    std::printf("%s\n", name.c_str());
    std::fflush(stdout);

    Pace out{clock, baud}, in{clock, baud};
    unsigned char waiting[4096];
    ssize_t next = 0, end = 0;
    int sending = 0, receiving = 0;  // bits to go
    unsigned going = 0, coming = 0;
    int pressed = 0;
    uint64_t still = 0;
    for (uint64_t cycle = 0;; cycle++) {
        if (sending) {
            if (out.step()) {
                sending--;
                going >>= 1;
                top->rx = sending ? going & 1 : 1;
            }
        }
        if (!sending) {
            if (next == end && cycle % LOOK_CYCLES == 0) {
                next = 0;
                end = read(terminal, waiting, sizeof waiting);
                if (end < 0 && errno != EAGAIN) fail("the terminal");
                if (end < 0) end = 0;
                char presses[16];
                if (read(button, presses, sizeof presses) > 0) pressed = PRESS_CYCLES;
            }
            if (next < end) {
                going = waiting[next++] << 1 | 1 << 9;
                sending = 10;
                out.phase = 0;
                top->rx = 0;
            }
        }
        top->reset = pressed > 0;
        if (pressed) pressed--;

        tick();
        if (receiving) {
            if (in.step() && --receiving < 9) {
                coming = coming >> 1 | top->tx << 8;
                if (!receiving) {
                    const unsigned char byte = coming & 0xff;
                    while (write(terminal, &byte, 1) < 0) {
                        if (errno != EAGAIN) fail("the terminal");
                        pollfd room{terminal, POLLOUT, 0};
                        poll(&room, 1, REST_MS);
                    }
                }
            }
        } else if (!top->tx) {
            receiving = 10;
            in.phase = clock / 2;
        }

        still = sending || receiving || next < end || pressed ? 0 : still + 1;
        if (still > quiet) {
            pollfd somebody[2] = {{terminal, POLLIN, 0}, {button, POLLIN, 0}};
            poll(somebody, 2, REST_MS);
            still = quiet - LOOK_CYCLES;
        }
    }
}
