"""A check that ships with a machine's Verilog: vectors, a driver in C++ and one for cocotb, a Makefile; no bitfold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..hw.accelerator import Accelerator
from ..hw.load import words
from ..hw.verilog.formats import Formats, Interface, formats
from ..model.net import Net
from ..model.write import make_folder, write_beside
from .protocol import running_best
from .stimulus import frame_beats, pack

FOLDER = "check"
"""Where it lies, beside the Verilog."""
VECTORS, MAKEFILE, SOURCES = "vectors.txt", "Makefile", ("check.cpp", "ports.h", "check_cocotb.py")
FILES = (VECTORS, MAKEFILE, *SOURCES)

_MAKEFILE = """\
# Holds ../{name}.v against vectors.txt; status 0 where all that comes out is right.
#
#     make                   in Verilator where it is installed, else in Icarus with cocotb
#     make verilator         needs Verilator, a C++ compiler
#     make icarus            needs Icarus Verilog, cocotb
VERILATOR ?= verilator
PYTHON ?= python3

.PHONY: all verilator icarus clean
all: $(if $(shell command -v $(VERILATOR)),verilator,icarus)

# In the folder of the Verilog, where contents of memories are looked for.
verilator: build/check
\tcd .. && {folder}/build/check {folder}/vectors.txt

build/check: ../{name}.v check.cpp ports.h
	mkdir -p build
\t$(VERILATOR) --cc --exe --build -O3 --no-assert --x-assign fast --x-initial fast -Wno-fatal -Wno-lint -Wno-style \\
\t  --prefix Vtop --top-module {name} -Mdir build/verilator -o ../check ../{name}.v $(CURDIR)/check.cpp

icarus:
\t$(PYTHON) check_cocotb.py {name}

clean:
\trm -rf build
"""


def write_check(folder: Path, net: Net, accelerator: Accelerator, name: str, interface: Interface,
                images: NDArray[np.integer[Any]]) -> Path:  # fmt: skip
    """Write the check of the machine whose Verilog NAME.v is in `folder`, by these images; where it lies.

    BadInput where a file cannot be written.
    """
    place, own = make_folder(folder / FOLDER), Path(__file__).parent
    write_beside(place / VECTORS, ("\n".join(_vectors(net, accelerator, interface, images)) + "\n").encode())
    write_beside(place / MAKEFILE, _MAKEFILE.format(name=name, folder=FOLDER).encode())
    for file in SOURCES:
        write_beside(place / file, (own / file).read_bytes())
    return place


def _vectors(
    net: Net, accelerator: Accelerator, interface: Interface, images: NDArray[np.integer[Any]]
) -> Iterator[str]:
    """Lines: how many beats go in, come out and load the machine, how many cycles without one are too many; then these.

    "w WORD" is a word of a load, "i LAST DATA" a beat in, "o LAST USER DATA" one out; words and data are hexadecimal.
    """
    f = formats(net, accelerator.plan, interface)
    load = words(net, accelerator) if f.loadable else np.zeros(0, np.uint32)
    frames = [image.reshape(-1, f.in_lanes) for image in images]
    beats = frame_beats(frames, f.in_bytes, f.in_width)
    outs = list(_outs(net(images), f))
    stages = [stage for _, stage in accelerator.pipeline.stages]
    watchdog = 4 * (1_000 + f.in_beats + sum(stage.cycles + stage.latency for stage in stages))
    yield f"bitfold-vectors-1 {len(beats)} {len(outs)} {len(load)} {watchdog}"
    yield from (f"w {int(word):08x}" for word in load)
    yield from (f"i {int(beat['last'])} {_hex(beat['data'])}" for beat in beats)
    yield from outs
    yield "end"


def _outs(logits: NDArray[np.integer[Any]], f: Formats) -> Iterator[str]:
    """The beats that come out for these logits [N, H', W', C]."""
    per_pixel = f.out_beats // (logits.shape[1] * logits.shape[2])
    best = running_best(logits, per_pixel).reshape(-1)
    classes = f.interface.out == "class"
    values = best[:, None] if classes else logits.reshape(-1, f.out_lanes)
    data = pack(values, f.out_bytes)
    padded = np.zeros((len(data), f.out_width), np.uint8)
    padded[:, : data.shape[1]] = data
    for index, row in enumerate(padded):
        last = (index + 1) % f.out_beats == 0
        yield f"o {last:d} {0 if classes else int(best[index])} {_hex(row)}"


def _hex(data: NDArray[np.uint8]) -> str:
    """Bytes, the lowest first, as a number in hexadecimal."""
    return data.tobytes()[::-1].hex()
