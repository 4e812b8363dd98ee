"""Networks on boards: what the bitstream takes, the clock that its own place and route proves, and what the build took.

    python benchmarks/boards.py DIR [--json]

Each is built into a folder of DIR, some minutes each; one that is there already is told from its record.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from bitfold.boards import record
from bitfold.boards.board import BOARDS
from bitfold.boards.host import BITS_PER_BYTE, FLAGS
from bitfold.boards.protocol import OVERHEAD
from bitfold.hw.stream.beat import sample_shape
from bitfold.model.card import SUFFIX
from bitfold.model.error import BadInput
from bitfold.model.net import Net

BUILDS = (
    ("digits-tiny", "icebreaker"),
    ("digits-tiny", "tang-nano-9k"),
    ("mnist-4bit", "tang-nano-20k"),
    ("digits", "orangecrab-25f"),
    ("digits", "ulx3s-85f"),
    ("mnist", "ulx3s-85f"),
)

LUTS = ("TRELLIS_COMB", "ICESTORM_LC", "LUT4")
BLOCKS = ("DP16KD", "ICESTORM_RAM", "BSRAM")


def row(folder: Path, network: str, board: str) -> dict[str, object]:
    """The figures of one build; it is made where it is not there."""
    if not folder.exists():
        command = [sys.executable, "-m", "bitfold", "build", network, "--board", board, "-o", str(folder)]
        status = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
        if status:
            return {"network": network, "board": board, "failed": status}
    built = record.load(folder)
    used = {name: counts for kinds in (LUTS, BLOCKS) for name in kinds if (counts := built.used.get(name))}
    cells, blocks = ([f"{used[name][0]:,} of {used[name][1]:,}" for name in kinds if name in used] or [""]
                     for kinds in (LUTS, BLOCKS))  # fmt: skip
    t = Net.load(folder / f"{built.network}{SUFFIX}").input
    image = t.pixels * t.channels * sample_shape(t).width // 8
    line = built.baud / BITS_PER_BYTE / (image + OVERHEAD + FLAGS)
    return {
        "network": network,
        "board": BOARDS[board].title,
        "luts": cells[0],
        "blocks": blocks[0],
        "mhz": round(built.clock / 1e6, 2),
        "fps": round(built.frames_per_second, 1),
        "fps_over_the_line": round(min(built.frames_per_second, line), 1),
        "seconds": round(built.seconds),
        "gib": round(built.gibibytes, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    words.folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for network, board in BUILDS:
        try:
            found = row(words.folder / f"{network}-{board}", network, board)
        except BadInput as error:
            sys.exit(f"boards: {error}")
        rows.append(found)
        if not words.json:
            print(
                " | ".join(f"{value:,}" if isinstance(value, int) else str(value) for value in found.values()),
                flush=True,
            )
    if words.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
