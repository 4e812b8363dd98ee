"""The files of memory contents that generated Verilog reads, where a simulator looks for them."""

import re
from pathlib import Path


def bring(verilog: Path, folder: Path) -> None:
    """Link the files beside `verilog` that it reads to `folder`: simulators look for them where they run."""
    for name in re.findall(r'\$readmemh\("([^"]+)"', verilog.read_text(encoding="utf-8")):
        link = folder / name
        if not link.exists():
            link.symlink_to(verilog.with_name(name).resolve())
