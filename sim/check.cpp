// Sends the vectors of a file through the machine beside it and holds each beat that comes out against them.
//
//     check VECTORS
//
// Status 0 and a line on stdout where all are right; 1 and a line on stderr where one is not; 2 where the file is missing,
// cut or damaged. Both sides pause at random. Host is little-endian.

#include "Vtop.h"
#include "verilated.h"
#include "ports.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

struct Beat {
    unsigned last = 0, user = 0;
    std::string data;  // bytes, the lowest first
};

[[noreturn]] void fail(int status, const std::string& message) {
    std::cerr << message << std::endl;
    std::exit(status);
}

std::string bytes(const std::string& hex) {
    std::string found;
    if (hex.size() % 2 || hex.find_first_not_of("0123456789abcdef") != std::string::npos) return found;
    for (size_t at = hex.size(); at; at -= 2) found.push_back(static_cast<char>(std::stoi(hex.substr(at - 2, 2), nullptr, 16)));
    return found;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string path = argc == 2 ? argv[1] : "vectors.txt";
    std::ifstream file(path);
    if (!file) fail(2, path + " is missing");
    std::string line, word;
    size_t ins = 0, outs = 0, loads = 0;
    uint64_t watchdog = 0;
    std::getline(file, line);
    std::istringstream head(line);
    if (!(head >> word >> ins >> outs >> loads >> watchdog) || word != "bitfold-vectors-1" || !ins || !outs)
        fail(2, path + " is no file of vectors");
    std::vector<Beat> in, out;
    std::vector<uint32_t> load;
    bool ended = false;
    while (std::getline(file, line) && !ended) {
        std::istringstream parts(line);
        Beat beat;
        std::string hex;
        parts >> word;
        if (word == "end") {
            ended = true;
        } else if (word == "w" && parts >> hex && hex.size() == 8) {
            const std::string raw = bytes(hex);
            if (raw.size() != 4) fail(2, path + " is damaged: " + line);
            uint32_t value;
            std::memcpy(&value, raw.data(), 4);
            load.push_back(value);
        } else if (word == "i" && parts >> beat.last >> hex && !(beat.data = bytes(hex)).empty()) {
            in.push_back(beat);
        } else if (word == "o" && parts >> beat.last >> beat.user >> hex && !(beat.data = bytes(hex)).empty()) {
            out.push_back(beat);
        } else {
            fail(2, path + " is damaged: " + line);
        }
    }
    if (!ended || in.size() != ins || out.size() != outs || load.size() != loads) fail(2, path + " is cut");

    VerilatedContext context;
    Vtop top{&context};
    for (const Beat& beat : in)
        if (beat.data.size() > sizeof top.s_axis_tdata) fail(2, path + " is of another machine");
    for (const Beat& beat : out)
        if (beat.data.size() > sizeof top.m_axis_tdata) fail(2, path + " is of another machine");
    auto edge = [&](bool level) {
        top.clk = level;
        top.eval();
    };
    reset(top, true, 0);
    top.s_axis_tvalid = top.m_axis_tready = 0;
    for (int cycle = 0; cycle < 4; ++cycle) edge(false), edge(true);
    reset(top, false, 0);
    for (size_t at = 0; at < load.size(); ++at) {
        bool ready = false;
        for (uint64_t waited = 0; !ready; ++waited) {
            if (waited > watchdog) fail(1, "the machine takes no more words of the load");
            ready = offer_load(top, true, load[at], at + 1 == load.size(), 0);
            edge(false), edge(true);
        }
    }
    offer_load(top, false, 0, false, 0);

    uint64_t random = 1, quiet = 0, cycle = 0;
    auto pauses = [&]() { return ((random = random * 6364136223846793005u + 1442695040888963407u) >> 33) % 4 == 0; };
    size_t sent = 0, received = 0;
    bool offering = false;
    for (; quiet <= watchdog; ++cycle) {
        if (!offering && sent < in.size() && !pauses()) {
            std::memcpy(static_cast<void*>(&top.s_axis_tdata), in[sent].data.data(), in[sent].data.size());
            set_last(top, in[sent].last, 0);
            offering = true;
        }
        top.s_axis_tvalid = offering;
        top.m_axis_tready = !pauses();
        edge(false);
        ++quiet;
        const bool given = top.m_axis_tvalid && top.m_axis_tready;
        if (given && received == out.size()) fail(1, "more comes out than may");
        if (given) {
            const Beat& right = out[received];
            const std::string data(reinterpret_cast<const char*>(&top.m_axis_tdata), right.data.size());
            if (data != right.data || top.m_axis_tlast != right.last || user(top, 0) != right.user)
                fail(1, "beat " + std::to_string(received) + " of what comes out differs, in cycle " + std::to_string(cycle));
            ++received;
        }
        if (offering && top.s_axis_tready) {
            offering = false;
            ++sent;
            quiet = 0;
        }
        if (given) quiet = 0;
        edge(true);
    }
    if (sent < in.size() || received < out.size())
        fail(1, "the machine stands still after " + std::to_string(received) + " of " + std::to_string(out.size()) + " beats");
    if (top.short_frames || top.long_frames) fail(1, "the machine counts bad frames, and there were none");
    std::cout << received << " beats are right, " << cycle << " cycles" << std::endl;
    return 0;
}
