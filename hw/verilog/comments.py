"""What each module of the generated Verilog is, in a comment above it."""

import re
from collections.abc import Mapping

from amaranth.lib import wiring

from ...model.layers import Windowed, walk
from ..accelerator import Accelerator
from ..build import unit_name
from .names import inner, unit_module


def commented(text: str, accelerator: Accelerator, name: str) -> str:
    """The Verilog of machine `name` with a line above each module: its layer, kind, shape and folding."""
    told = {unit_module(name, unit): what for unit, what in _units(accelerator).items()}

    def line(module: str) -> str:
        if module == name:
            return "the machine with its AXI4-Streams"
        if module == inner(name, "accelerator"):
            return "all units, in the order in which data flow"
        unit = "__".join(module.split("__")[:3])
        if module == inner(name, "registers"):
            return "the registers"
        if module == inner(name, "bus"):
            return "their bus"
        if module in told:
            return told[module]
        if unit in told:
            return f"{module.removeprefix(unit).strip('_')} of {told[unit]}"
        if module.startswith(inner(name, "loaded_")):
            return "a memory that is written by loads"
        return "a memory with one port"

    return re.sub(r"^module (\w+)", lambda found: f"// {line(found[1])}\n{found[0]}", text, flags=re.MULTILINE)


def _units(accelerator: Accelerator) -> Mapping[str, str]:
    """A line for each unit, by its name."""
    net, plan, layers = accelerator.net, accelerator.plan, {}

    def visit(path, layer, tensor):
        folding = f"; {str(plan.foldings[path]).strip('{ }')}" if isinstance(layer, Windowed) else ""
        layers[unit_name(path)] = f"layer {path or 'body'}: {type(layer).__name__}", folding

    walk(net.body, net.input, visit)
    found = {}
    for unit, circuit in accelerator.units.items():
        what, folding = layers.get(unit, (f"{unit}: {type(circuit).__name__}", ""))
        found[unit] = f"{what}{_shape(circuit)}{folding}"
    return found


def _shape(circuit: wiring.Component) -> str:
    """Of what a unit gives, where it is a map."""
    flow = getattr(circuit, "sink", None)
    if flow is None:
        return ""
    t = flow.tensor
    return f" to {t.height}x{t.width}x{t.channels} of {t.bits} bits, {flow.lanes} a word"
