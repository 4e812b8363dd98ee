"""The interface sheet: what an engineer who instantiates the Verilog has to know, beside the Verilog."""

from collections.abc import Iterator, Sequence

from ...model.layers import Windowed, walk
from ..accelerator import Accelerator
from ..build import unit_name
from ..control.registers import BITS, Register, registers
from ..device.protect import PROTECT
from ..device.target import clock_of
from ..stream.queue import Queue
from .formats import Formats, Interface, formats
from .latency import latency
from .ports import Port, ports, reset

INSIDE = """\
Weights and constants are memories that `initial` blocks of the Verilog fill, word by word. In an `initial` block Synplify in Lattice
Diamond heeds `$readmemh` alone and leaves all else out, with the warning CG532: all weights would be 0
(https://github.com/amaranth-lang/amaranth/issues/684). Write the Verilog with `--weights-file` for it. Intel's and AMD's guides to
Quartus and Vivado describe both ways; Yosys, Verilator and Icarus read both. Of Gowin's synthesis and Lattice Radiant nothing is known
here: look for a warning about `initial`, and compare the first outputs with a simulation."""
APART = """\
Weights and constants are memories that `$readmemh` fills from the files `MODULE.mem` beside the Verilog, one a memory: hexadecimal,
a word a line. The Verilog names them without a folder. Yosys looks in the folder it runs in, then beside the Verilog; Verilator's and
Icarus' simulations in the folder they run in; in Vivado add the files to the project, in Quartus and Diamond put them in the
project's folder. A simulator that does not find them says so, and synthesis may not: look for a warning."""
LOADED = """\
Weights and constants are memories without initial contents. `bitfold weights NET --plan {name}.toml -o FILE` writes what loads a network
of this shape: {words:,} words of 32 bits, little-endian, the first byte first. Send them to `s_weights_axis`, `tlast` with the last one.

- Until a load has passed, after each reset too, and from the first word of the next one on, no frame begins: `s_axis_tready` is low. A frame
  that has begun, or whose first beat waits already, goes on to its end, and all that is inside comes out as before; words are taken when
  nothing is inside.
- The words are a header (its first {header}: magic, version, digest of the shape and the plan, number of words of contents), the contents,
  and the CRC-32 of all before it. A load that is for another machine, has a wrong CRC, or is too short or too long leaves the machine without
  contents: `weights_refused` goes high, `s_axis_tready` stays low. What follows its `tlast` is the next load.
- `weights_loaded` is high while frames may begin.
- About {words:,} cycles without pauses."""
"""What is known of tools that leave out the contents of memories, and of where they look for files."""


PROTECTED = {
    "parity": "a parity bit: an odd number of flipped bits in a word that is used is detected, an even number is missed",
    "ecc": """check bits for each part of at most {widest} bits, among which neighbours are dealt out. One flipped bit in a part is corrected on
the word's way to the array, two are detected; three or more may be missed, or corrected wrongly""",
}
UPSETS = """\
Each word of a weight memory has {what}.

- {bits:,} bits are stored, {checks:,} of them check bits.
- {counts}, in any layer. `{reset}` clears them; what is flipped stays so until the
  device is configured anew, and every frame counts it.
- Not protected are the accumulators' initial values and other constants, line buffers, queues and registers. Where synthesis makes
  a memory of look-up tables instead of blocks, its bits lie in the configuration of the device, which has to be watched by other means."""
"""What is protected, against what, and what is not."""


def table_of(accelerator: Accelerator, interface: Interface) -> Sequence[Register]:
    """The registers of a machine; none where software has none."""
    net, plan = accelerator.net, accelerator.plan
    return registers(net.digest(), plan.digest(), plan.loadable, plan.protected) if interface.registers else ()


def interface_sheet(
    accelerator: Accelerator, name: str, interface: Interface, clock: float | None = None, weights_file: bool = False
) -> str:
    """Markdown that describes module `name`: how to instantiate it, ports, formats, timing, cost, stages.

    Times are told at `clock` MHz too, or at the device's where none is given. With `weights_file` the contents of memories are in files.
    """
    net, plan = accelerator.net, accelerator.plan
    t, out, f = net.input, net.output, formats(net, plan, interface)
    every = ports(f)
    lines = [
        f"# Module `{name}`",
        "",
        f"{'Shape' if plan.loadable else 'Network'} {net.digest()}.",
        "",
        f"{t.height}x{t.width}x{t.channels} pixels in, {out.height}x{out.width}x{out.channels} values out; "
        f"{net.weights:,} one-bit weights, {plan.lanes(net):,} lanes; "
        f"one frame every {accelerator.cycles:,} cycles in steady state.",
        "",
        "## Instantiation",
        "",
        "```verilog",
        *template(name, every),
        "```",
        "",
        "## Ports",
        "",
        "| port | direction | bits | meaning |",
        "|---|---|---|---|",
        *(f"| `{port.name}` | {'out' if port.output else 'in'} | {port.bits} | {port.meaning} |" for port in every),
        "",
        "## Pixels in",
        "",
        *_pixels_in(accelerator, f),
        "",
        "## Values out",
        "",
        *_values_out(accelerator, f),
        "",
        "## Time",
        "",
        f"- A frame every {accelerator.cycles:,} cycles in steady state.",
        f"- About {latency(accelerator):,} cycles from a frame's first beat in to its last beat out, where it is "
        "alone and neither side pauses: computed from what the stages declare, as if each had room for all that comes "
        "to it. Behind other frames it takes longer.",
        *_at(accelerator, clock),
        f"- In reset (`{reset(f)}`) `s_axis_tready` may be high, and a beat that is offered then is lost: keep the source "
        "in reset as long, or its `tvalid` low.",
        "",
        *_registers(accelerator, interface, name),
        "## Cost",
        "",
        *_cost(accelerator, interface),
        "",
        "## Contents of memories",
        "",
        *_contents(accelerator, name, weights_file).splitlines(),
        "",
        *_upsets(accelerator, f),
        "## Stages",
        "",
        *_stages(accelerator),
    ]
    return "\n".join(lines) + "\n"


def _contents(accelerator: Accelerator, name: str, weights_file: bool) -> str:
    if loader := accelerator.loader:
        header = len(loader.header)
        return LOADED.format(name=name, words=loader.length, header=header)
    return APART if weights_file else INSIDE


def _upsets(accelerator: Accelerator, f: Formats) -> Iterator[str]:
    """What flipped bits of weights do; nothing where they are not protected."""
    if f.protect == PROTECT[0]:
        return
    stages = accelerator.pipeline.protected
    sizes = [(stage.groups * stage.dot_cycles, code) for stage in stages for code in stage.codes]
    widest = max((-(-code.width // code.parts) for _, code in sizes), default=0)
    counts = "`upsets_detected` counts the cycles in which a word with such flips was used"
    if f.protect == "ecc":
        counts = "`upsets_corrected` counts the cycles in which a word was corrected, `upsets_detected` those in which one could not be"
    yield "## Protected weights"
    yield ""
    yield from UPSETS.format(
        what=PROTECTED[f.protect].format(widest=widest),
        bits=sum(depth * code.stored for depth, code in sizes),
        checks=sum(depth * (code.stored - code.width) for depth, code in sizes),
        counts=counts,
        reset=reset(f),
    ).splitlines()
    yield ""


def _at(accelerator: Accelerator, clock: float | None) -> Iterator[str]:
    target = accelerator.plan.target
    if clock is None and accelerator.plan.device is None:
        return
    told = clock_of(target, clock)
    reason = {
        "asked": "which was asked for and not measured",
        "assumed": f"which is assumed for {target} and not measured",
        "measured": f"which place and route gave the machines tried on {target}, not this one",
    }[told.origin]
    yield (
        f"- At {told.mhz:g} MHz, {reason}: {1e6 * told.mhz / accelerator.cycles:,.1f} frames a "
        f"second, {latency(accelerator) / told.mhz:,.1f} microseconds from the first beat to the last."
    )


def template(name: str, every: Sequence[Port]) -> Iterator[str]:
    """An instance of module `name` in Verilog, with wires of its own."""
    for port in every:
        yield f"wire {port.range}{port.name};"
    yield f"{name} {name}_0 ("
    for port in every:
        yield f"    .{port.name}({port.name}){'' if port is every[-1] else ','}"
    yield ");"


def _pixels_in(accelerator: Accelerator, f: Formats) -> Iterator[str]:
    net, pixels = accelerator.net, accelerator.plan.input_pixels
    t, part, bits = net.input, f.in_lanes < net.input.channels, 8 * f.in_bytes
    beat = f"{f.in_lanes} channels of a pixel" if part else "one pixel" if pixels == 1 else f"{pixels} pixels"
    order = "in raster order from the top left" + (", the lowest channels first" if part else "")
    coded = "two's complement" if f.in_signed else "unsigned"
    where = "the beat" if part else "the pixel" if pixels == 1 else "the first pixel"
    next_ = f"; the next pixel is {bits * t.channels} bits above" if pixels > 1 else ""
    if f.interface.counted:
        yield f"- A frame is {f.in_beats} beats of {beat}, {order}. There is no `tlast`: the machine counts from reset on."
        yield "- A source that loses a beat shifts all that follows, up to the next reset."
    else:
        yield f"- A frame is {f.in_beats} beats of {beat}, {order}; `tlast` with the last."
        yield "- A frame that ends early or late is counted, with the beat that shows it, and dropped; the following is right."
    yield (
        f"- Channel c of {where} is bits {bits}c to {bits}c + {bits - 1} of `tdata`, {coded}, from {t.lo} to "
        f"{t.hi}{next_}. A sample outside becomes the nearest value inside."
    )
    if f.in_width > f.in_bytes * f.in_lanes:
        yield f"- Bits of `tdata` from {8 * f.in_bytes * f.in_lanes} on may be anything."
    preprocessing = f" Preprocessing: {net.preprocessing}" if net.preprocessing else ""
    yield f"- A sample q stands for the real value q * 2^{-t.frac}.{preprocessing}"
    yield "- Beats are whole: there is no `tkeep` and no `tstrb`; all bytes count."


def _values_out(accelerator: Accelerator, f: Formats) -> Iterator[str]:
    net = accelerator.net
    out = net.output
    if f.interface.out == "class":
        yield f"- A frame is {f.out_beats} {'beats' if f.out_beats > 1 else 'beat'}: the class of each pixel, unsigned."
    else:
        yield (
            f"- A frame is {f.out_beats} beats: the {out.channels} channels of each pixel in order, {f.out_lanes} a beat, "
            "the lowest in the lowest bits."
        )
        yield f"- Values are two's complement, from {out.lo} to {out.hi}; v stands for v * 2^{-out.frac}."
    if f.out_width > f.out_bytes * f.out_lanes:
        yield f"- Bits of `tdata` from {8 * f.out_bytes * f.out_lanes} on are 0."
    yield "- Of equal values the lowest index is the class."
    if net.classes:
        yield "- Classes: " + ", ".join(f"{i} {c}" for i, c in enumerate(net.classes)) + "."
    yield "- `tvalid` never waits for `tready`, and what is offered stays until it is taken. Each frame has its `tlast`."


def _registers(accelerator: Accelerator, interface: Interface, name: str) -> Iterator[str]:
    if not interface.registers:
        return
    bus = "AXI4-Lite" if interface.control == "axi-lite" else "Wishbone, classic cycles"
    yield "## Registers"
    yield ""
    yield f"On {bus}; {BITS} bits each, named in `{name}.h` for C and in `{name}_registers.py` for Python."
    yield ""
    yield "| offset in bytes | register | access | meaning |"
    yield "|---|---|---|---|"
    for register in table_of(accelerator, interface):
        value = "" if register.value is None else f": 0x{register.value:08x}"
        access = "write, reads 0" if register.writable else "read"
        yield f"| 0x{register.offset:02x} | `{register.name}` | {access} | {register.meaning}{value} |"
    yield ""
    yield "- Other offsets read 0, and what is written to other registers is ignored; no access is refused."
    yield (
        f"- A soft reset takes one cycle and empties the machine as `{reset(formats(accelerator.net, accelerator.plan, interface))}` does; "
        "the bus goes on. A beat that waits on `m_axis` is withdrawn; none is taken on `s_axis` in that cycle. The source has "
        "to begin with a new frame: the rest of one counts as short."
        + (" What was loaded is gone." if accelerator.plan.loadable else "")
    )
    yield ""


def _cost(accelerator: Accelerator, interface: Interface) -> Iterator[str]:
    plan, resources = accelerator.plan, accelerator.resources
    if plan.device is None:
        yield "The plan is for no device: what the machine takes of one is not estimated."
        return
    blocks = "".join(f", {count:,} {kind}" for kind, count in resources.blocks.items())
    yield (
        f"Planned for {plan.device.name}. Estimated before synthesis: {resources.luts:,} LUTs, "
        f"{resources.ffs:,} flip-flops{blocks}."
        + (" The registers and their bus come on top." if interface.registers else "")
    )


def _stages(accelerator: Accelerator) -> Iterator[str]:
    net, plan = accelerator.net, accelerator.plan
    stages = dict(accelerator.pipeline.stages)
    rows = []

    def row(path, layer, tensor):
        stage = stages.get(unit_name(path))
        if stage is None:
            return
        folding = plan.foldings[path] if isinstance(layer, Windowed) else None
        folds = (
            f"{folding.pe} | {folding.simd} | {folding.pixels}{', wired' * folding.wired}{f', out {folding.out}' if folding.out else ''}"
            if folding
            else " | | "
        )
        o = stage.sink.tensor
        rows.append(
            f"| {path} | {type(layer).__name__} | {o.height}x{o.width}x{o.channels}, {o.bits} bits "
            f"| {folds} | {stage.cycles:,} |"
        )

    walk(net.body, net.input, row)
    yield "| layer | kind | output | PE | SIMD | pixels | cycles a frame |"
    yield "|---|---|---|---|---|---|---|"
    yield from rows
    queues = [f"{key} {stage.depth}" for key, stage in stages.items() if isinstance(stage, Queue)]
    yield ""
    yield (
        "A convolution includes the Requantise that follows it. Queues, in words: "
        + (", ".join(queues) or "none")
        + "."
    )
    if single := accelerator.pipeline.single:
        yield ""
        yield f"In blocks with one port: {', '.join(single)}. Yosys uses them where it is told `synth_ice40 -spram`."
