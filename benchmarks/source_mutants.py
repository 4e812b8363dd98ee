"""Mutants of the source: do the tests of a file notice an operator, a number or a condition in it that is wrong?

    python benchmarks/source_mutants.py [--count 200] [--seed 1] [--only hw/] [--json]

A comparison loses or gains its equality, + and - change places, a number is one more, a condition is turned round,
and `and` with `or`, min with max: one place at a time, drawn from the files of SOURCES, which hold what the machine
and the reference compute. What a file says of costs, of itself (`__repr__`, `raise`) or of types is left out. For
each mutant the file's own tests run in a copy of the project, then those of whole machines; a test that fails, or
does not end, has caught it. What passes them all is printed. Tests run of the source as it is once, before a mutant
first needs them.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import amaranth.sim  # noqa: F401  what all tests import, once
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {
    "hw/accelerator.py": ("hw_accelerator",),
    "hw/build.py": ("hw_build", "hw_accelerator"),
    "hw/load.py": ("hw_load",),
    "hw/array/constants.py": ("hw_constants",),
    "hw/array/dot.py": ("hw_mac", "hw_popcount"),
    "hw/array/mac.py": ("hw_mac",),
    "hw/array/multiplied.py": ("hw_baseline",),
    "hw/array/popcount.py": ("hw_popcount",),
    "hw/array/popcount_chain.py": ("hw_popcount",),
    "hw/array/popcount_tree.py": ("hw_popcount",),
    "hw/array/sums.py": ("hw_sums",),
    "hw/array/wired.py": ("hw_wired",),
    "hw/control/axi_lite.py": ("hw_control",),
    "hw/control/bank.py": ("hw_control", "hw_protect"),
    "hw/control/registers.py": ("hw_control", "hw_verilog_ip_xact"),
    "hw/control/wishbone.py": ("hw_control",),
    "hw/device/arithmetic.py": ("hw_stream", "hw_popcount"),
    "hw/device/component.py": ("hw_build", "hw_accelerator"),
    "hw/device/function.py": ("hw_table", "hw_requantise"),
    "hw/device/loaded.py": ("hw_load", "hw_verilog_load"),
    "hw/device/memory.py": ("hw_memory",),
    "hw/device/protect.py": ("hw_protect",),
    "hw/device/ring.py": ("hw_ring",),
    "hw/device/single_port.py": ("hw_ring", "hw_memory"),
    "hw/stages/channels.py": ("hw_channels",),
    "hw/stages/conv.py": ("hw_conv",),
    "hw/stages/factor.py": ("hw_scale",),
    "hw/stages/frames.py": ("hw_frames",),
    "hw/stages/global_sum.py": ("hw_pool",),
    "hw/stages/max_pool.py": ("hw_pool",),
    "hw/stages/pool.py": ("hw_pool",),
    "hw/stages/running_pool.py": ("hw_pool",),
    "hw/stages/requantise.py": ("hw_requantise",),
    "hw/stages/residual.py": ("hw_residual",),
    "hw/stages/scale.py": ("hw_scale",),
    "hw/stages/table.py": ("hw_table",),
    "hw/stages/upsets.py": ("hw_protect",),
    "hw/stages/windowed.py": ("hw_pool", "hw_conv"),
    "hw/stream/converters.py": ("hw_stream",),
    "hw/stream/flow.py": ("hw_stream",),
    "hw/stream/fork.py": ("hw_stream",),
    "hw/stream/load.py": ("hw_load", "hw_verilog_load"),
    "hw/stream/queue.py": ("hw_stream",),
    "hw/stream/register.py": ("hw_stream",),
    "hw/stream/results.py": ("hw_results",),
    "hw/stream/turned.py": ("hw_results", "hw_conv"),
    "hw/verilog/latency.py": ("hw_verilog_sheet",),
    "hw/verilog/roms.py": ("hw_verilog_roms",),
    "hw/window/slide.py": ("hw_slide",),
    "hw/window/window.py": ("hw_window", "hw_conv"),
    "model/export.py": ("model_export",),
    "model/file.py": ("model_file",),
    "model/judge.py": ("model_judge",),
    "model/layers.py": ("model_layers", "model_net"),
    "model/matmul.py": ("model_matmul",),
    "model/net.py": ("model_net",),
    "model/places.py": ("model_places",),
    "model/tensor.py": ("model_tensor", "model_layers"),
    "model/threshold.py": ("model_threshold",),
    "model/imports/integers.py": ("model_imports_published", "cli_import"),
    "model/imports/mat.py": ("model_imports_published",),
    "model/imports/onnx.py": ("model_imports_onnx",),
    "model/imports/qonnx.py": ("model_imports_qonnx",),
    "model/imports/wide_resnet.py": ("model_imports_published", "cli_import"),
    "model/imports/graphs/operators.py": ("model_imports_qonnx",),
    "model/imports/graphs/quantisers.py": ("model_imports_qonnx",),
    "model/imports/graphs/staircase.py": ("model_imports_staircase", "model_imports_qonnx"),
    "model/imports/graphs/values.py": ("model_imports_qonnx",),
    "model/train/augment.py": ("model_train_augment",),
    "model/train/batches.py": ("model_train_batches",),
    "model/train/calibrate.py": ("model_train_calibrate", "model_export"),
    "model/train/descent.py": ("model_train_descent", "model_train_run"),
    "model/train/modules.py": ("model_train_modules", "model_export"),
}
"""Files, and what tests them first."""
GENERAL = ("hw_build", "hw_wide", "sim_simulate", "sim_check")
"""Tests of whole machines: of all but what is made into a network before there is one."""
ROOMY = 60.0
"""Seconds, beside three times what the tests take of the source as it is, after which they do not end."""
SPOKEN = ("cost", "price", "resources", "luts", "__repr__", "__str__")
"""In the names of functions that are left out."""

OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.And: ast.Or,
    ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A file with one place changed; `line` says where, `before` and `after` what."""

    file: str
    line: int
    before: str
    after: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.before}  ->  {self.after}"


def sites(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that can be changed."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.FunctionDef(name=name) if any(word in name for word in SPOKEN):
                continue
            case ast.FunctionDef(args=args, body=body):
                defaults = [ast.Expr(each) for each in (*args.defaults, *args.kw_defaults) if each]
                yield from sites(ast.Module([*defaults, *body], []))
                continue
            case ast.Raise() | ast.Assert() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
                continue
            case ast.AnnAssign(value=None):
                continue
            case ast.AnnAssign(value=value):
                yield from sites(ast.Expression(value))
                continue
            case ast.If(body=[ast.Raise()]):  # what is refused
                continue
        yield from own(node)
        yield from sites(node)


def own(node: ast.AST) -> Iterator[ast.AST]:
    """The node, where it can be changed."""
    match node:
        case ast.Compare(ops=[op]) | ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op) if type(op) in OTHER:
            yield node
        case ast.Constant(value=int()) | ast.Call(func=ast.Name(id="min" | "max")) | ast.UnaryOp(op=ast.Not()):
            yield node
        case ast.IfExp():
            yield node


def changed(node: ast.AST) -> ast.AST:
    """Another node in its place."""
    node = copy.deepcopy(node)
    match node:
        case ast.Compare(ops=[op]):
            node.ops = [OTHER[type(op)]()]
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op):
            node.op = OTHER[type(op)]()
        case ast.Constant(value=bool(value)):
            node.value = not value
        case ast.Constant(value=value):
            node.value = value + 1
        case ast.Call(func=func):
            func.id = {"min": "max", "max": "min"}[func.id]
        case ast.UnaryOp(operand=operand):
            return operand
        case ast.IfExp(body=body, orelse=other):
            node.body, node.orelse = other, body
    return node


class _Exchange(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def mutants(file: str, count: int, rng: np.random.Generator) -> list[Mutant]:
    """So many of a file, or all."""
    source = (ROOT / file).read_text(encoding="utf-8")
    found = []
    for index in sorted(rng.permutation(len(list(sites(ast.parse(source)))))[:count]):
        tree = ast.parse(source)
        old = list(sites(tree))[index]
        new = changed(old)
        before, after = ast.unparse(old), ast.unparse(new)
        found.append(Mutant(file, old.lineno, before, after, ast.unparse(_Exchange(old, new).visit(tree))))
    return found


class Tests:
    """The tests in a copy of the project, with whatever its files hold then."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
        (folder / "build").mkdir()
        (folder / "build" / "bitfold").symlink_to("..")
        self.seconds: dict[str, float] = {}

    def passes(self, name: str) -> bool:
        """Whether the tests of tests/test_NAME.py pass; in a process of their own."""
        if (child := os.fork()) == 0:
            status = 1
            try:
                status = self._run(name)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        started = time.monotonic()
        most = 3 * self.seconds.get(name, 600.0) + ROOMY
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() - started > most:
                os.killpg(child, signal.SIGKILL)
            time.sleep(0.05)
        self.seconds.setdefault(name, time.monotonic() - started)
        return ended[1] == 0

    def _run(self, name: str) -> int:
        os.setsid()
        log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(self.folder)
        sys.path.insert(0, str(self.folder / "build"))
        sys.dont_write_bytecode = True
        os.environ |= {"PYTHONPATH": sys.path[0], "PYTHONDONTWRITEBYTECODE": "1"}
        return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", f"tests/test_{name}.py"]))

    def catch(self, mutant: Mutant) -> bool:
        """Whether one fails."""
        path = self.folder / mutant.file
        for name in self.of(mutant.file):
            if name not in self.seconds and not self.passes(name):
                log = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
                raise SystemExit(f"tests/test_{name}.py fails without a mutant:\n{log[-2000:]}")
            path.write_text(mutant.text, encoding="utf-8")
            try:
                if not self.passes(name):
                    return True
            finally:
                shutil.copyfile(ROOT / mutant.file, path)
        return False

    @staticmethod
    def of(file: str) -> list[str]:
        """Their names, of a file of hw/ or model/, each once."""
        general = () if file.startswith(("model/imports/", "model/train/")) else GENERAL
        return list(dict.fromkeys(SOURCES[file] + general))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="mutants in all, as many of each file (200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", metavar="FILE", help="of one file, or of those in a folder")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    files = [file for file in SOURCES if file.startswith(arguments.only)]
    if not files:
        parser.error(f"no file of {', '.join(SOURCES)} begins with {arguments.only}")
    rng = np.random.default_rng(arguments.seed)
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        tests = Tests(Path(folder))
        for file in files:
            planted = mutants(file, -(-arguments.count // len(files)), rng)
            passed = [str(mutant) for mutant in planted if not tests.catch(mutant)]
            figures.append(
                {"file": file, "planted": len(planted), "caught": len(planted) - len(passed), "passed": passed}
            )
            if not arguments.json:
                print(
                    f"{file:32} {len(planted) - len(passed)} of {len(planted)} caught", *passed, sep="\n  ", flush=True
                )
    planted, caught = (sum(each[key] for each in figures) for key in ("planted", "caught"))
    if arguments.json:
        print(json.dumps({"files": figures, "planted": planted, "caught": caught}))
    else:
        print(f"{'all':32} {caught} of {planted} caught")


if __name__ == "__main__":
    main()
