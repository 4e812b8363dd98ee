#pragma once

#include <cstdint>

// Ports that not every machine has: a reset of either sense, tlast in, loads, tuser out, counters of upsets.
template <class Top>
auto reset(Top& top, bool on, int) -> decltype(top.aresetn, void()) {
    top.aresetn = !on;
}
template <class Top>
void reset(Top& top, bool on, long) {
    top.rst = on;
}
template <class Top>
auto set_last(Top& top, bool last, int) -> decltype(top.s_axis_tlast, void()) {
    top.s_axis_tlast = last;
}
template <class Top>
void set_last(Top&, bool, long) {}
template <class Top>
auto offer_load(Top& top, bool valid, uint32_t word, bool last, int) -> decltype(top.s_weights_axis_tready, bool()) {
    top.s_weights_axis_tvalid = valid;
    top.s_weights_axis_tdata = word;
    top.s_weights_axis_tlast = last;
    top.eval();
    return top.s_weights_axis_tready;
}
template <class Top>
bool offer_load(Top&, bool, uint32_t, bool, long) {
    return true;
}
template <class Top>
auto user(const Top& top, int) -> decltype(top.m_axis_tuser, uint32_t()) {
    return top.m_axis_tuser;
}
template <class Top>
uint32_t user(const Top&, long) {
    return 0;
}
template <class Top>
auto corrected(const Top& top, int) -> decltype(top.upsets_corrected, uint32_t()) {
    return top.upsets_corrected;
}
template <class Top>
uint32_t corrected(const Top&, long) {
    return 0;
}
template <class Top>
auto detected(const Top& top, int) -> decltype(top.upsets_detected, uint32_t()) {
    return top.upsets_detected;
}
template <class Top>
uint32_t detected(const Top&, long) {
    return 0;
}
