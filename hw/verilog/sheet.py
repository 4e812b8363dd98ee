"""The interface sheet: what an engineer who instantiates the Verilog has to know, beside the Verilog."""

from ...model.layers import Windowed, walk
from ..accelerator import Accelerator
from ..build import unit_name
from ..stages.frames import COUNTER_BITS
from ..stream.queue import Queue
from .formats import formats


def interface_sheet(accelerator: Accelerator, name: str) -> str:
    """Markdown that describes module `name`: ports, formats, timing, stages."""
    net, plan = accelerator.net, accelerator.plan
    t, out, f = net.input, net.output, formats(net, plan)
    in_bits, out_bits = 8 * f.in_bytes, 8 * f.out_bytes
    kind = "two's complement" if f.in_signed else "unsigned"
    in_width, out_width = in_bits * f.in_lanes, out_bits * f.out_lanes
    pixels, part = plan.input_pixels, f.in_lanes < t.channels
    beat = f"{f.in_lanes} channels of a pixel" if part else "one pixel" if pixels == 1 else f"{pixels} pixels"
    lines = [
        f"# Module `{name}`",
        "",
        f"Network {net.digest()}.",
        "",
        f"{t.height}x{t.width}x{t.channels} pixels in, {out.height}x{out.width}x{out.channels} values out; "
        f"{net.weights:,} one-bit weights, {plan.lanes(net):,} lanes; "
        f"one frame every {accelerator.cycles:,} cycles in steady state.",
        "",
        "## Ports",
        "",
        "| port | direction | bits | meaning |",
        "|---|---|---|---|",
        "| `clk` | in | 1 | everything happens at its rising edge |",
        "| `rst` | in | 1 | synchronous, active high: empties the machine, clears the counters; in mid-frame too: the rest "
        "of that frame counts as short |",
        f"| `s_axis_tdata` | in | {in_width} | {beat}: {f.in_lanes} x {in_bits}-bit sample |",
        f"| `s_axis_tvalid`, `s_axis_tready` | in, out | 1 | {beat} transferred when both are high |",
        "| `s_axis_tlast` | in | 1 | the frame's last beat |",
        f"| `m_axis_tdata` | out | {out_width} | {f.out_lanes} x {out_bits}-bit output value |",
        "| `m_axis_tvalid`, `m_axis_tready` | out, in | 1 | values are transferred when both are high |",
        "| `m_axis_tlast` | out | 1 | the frame's last values |",
        f"| `m_axis_tuser` | out | {f.best_bits} | index of the pixel's largest value up to this beat; with the "
        "pixel's last beat its class |",
        f"| `short_frames`, `long_frames` | out | {COUNTER_BITS} | frames dropped because they ended early, late, "
        f"counted with the beat that shows it; they stop at {2**COUNTER_BITS - 1} |",
        "",
        "## Pixels in",
        "",
        f"- A frame is {f.in_beats} beats of {beat}, in raster order from the top left"
        + (", the lowest channels first" if part else "")
        + "; `tlast` with the last.",
        f"- Channel c of {'the beat' if part else 'the pixel' if pixels == 1 else 'the first pixel'} is bits {in_bits}c to {in_bits}c + {in_bits - 1} "
        f"of `tdata`, {kind}, from {t.lo} to {t.hi}"
        + (f"; the next pixel is {in_bits * t.channels} bits above. " if pixels > 1 else ". ")
        + "A sample outside becomes the nearest value inside.",
        f"- A sample q stands for the real value q * 2^{-t.frac}."
        + (f" Preprocessing: {net.preprocessing}" if net.preprocessing else ""),
        "- A frame that ends early or late is counted and dropped; the following frame is right.",
        "",
        "## Values out",
        "",
        f"- A frame is {f.out_beats} beats: the {out.channels} channels of each pixel in order, {f.out_lanes} a beat, "
        "the lowest in the lowest bits.",
        f"- Values are two's complement, from {out.lo} to {out.hi}; v stands for v * 2^{-out.frac}.",
        "- Of equal values the lowest index is the class.",
    ]
    if net.classes:
        lines.append("- Classes: " + ", ".join(f"{i} {c}" for i, c in enumerate(net.classes)) + ".")
    lines += [
        "- `tvalid` never waits for `tready`, and what is offered stays until it is taken.",
        "",
        "## Stages",
        "",
        "| layer | kind | output | PE | SIMD | pixels | cycles a frame |",
        "|---|---|---|---|---|---|---|",
    ]
    stages = dict(accelerator.pipeline.stages)

    def row(path, layer, tensor):
        stage = stages.get(unit_name(path))
        if stage is None:
            return
        folding = plan.foldings[path] if isinstance(layer, Windowed) else None
        folds = f"{folding.pe} | {folding.simd} | {folding.pixels}{', wired' * folding.wired}" if folding else " | | "
        o = stage.sink.tensor
        lines.append(
            f"| {path} | {type(layer).__name__} | {o.height}x{o.width}x{o.channels}, {o.bits} bits "
            f"| {folds} | {stage.cycles:,} |"
        )

    walk(net.body, t, row)
    queues = [f"{key} {stage.depth}" for key, stage in stages.items() if isinstance(stage, Queue)]
    lines += [
        "",
        "A convolution includes the Requantise that follows it. Queues, in words: " + ", ".join(queues) + ".",
    ]
    if single := accelerator.pipeline.single:
        lines += [
            "",
            f"In blocks with one port: {', '.join(single)}. Yosys uses them where it is told `synth_ice40 -spram`.",
        ]
    return "\n".join(lines) + "\n"
