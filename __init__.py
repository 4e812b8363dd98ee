"""bitfold: multiplier-free accelerators for networks whose weights are single bits, proven bit for bit.

net = bitfold.Net.load("digits.bitfold")        what is computed
plan = bitfold.fit(net, lanes=1024)             how far it is unrolled
bitfold.Accelerator(net, plan)                  an Amaranth component
bitfold.write_verilog(net, plan, folder)        Verilog with AXI4-Stream
bitfold.check(net, plan, images)                the Verilog in a simulator against the network
bitfold.zoo.load("digits")                      one of the networks that ship

bitfold.nn                                      torch modules for networks of one's own
bitfold.calibrate(network, batches, bits)       their activations become codes
bitfold.export(network, input)                  the Net that they are
"""

from typing import TYPE_CHECKING, Any

from . import zoo
from .hw.accelerator import Accelerator
from .hw.plan import Folding, Plan
from .hw.planner import balance, fit, fit_device, meet
from .hw.verilog.write import write as write_verilog
from .model.error import BadInput
from .model.net import Net
from .model.tensor import Tensor
from .sim.simulate import check, simulate

if TYPE_CHECKING:
    from . import nn
    from .model.export import export
    from .model.train.calibrate import calibrate

__all__ = [
    "Accelerator",
    "BadInput",
    "Folding",
    "Net",
    "Plan",
    "Tensor",
    "balance",
    "calibrate",
    "check",
    "export",
    "fit",
    "fit_device",
    "meet",
    "nn",
    "simulate",
    "write_verilog",
    "zoo",
]

_OF_TORCH = {"nn": "nn", "export": "model.export", "calibrate": "model.train.calibrate"}
"""Where what needs torch lives: imported when it is first asked for, since the generator stands without."""


def __getattr__(name: str) -> Any:
    if name not in _OF_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    try:
        module = importlib.import_module(f".{_OF_TORCH[name]}", __name__)
    except ModuleNotFoundError as error:
        raise ImportError(f"bitfold.{name} needs {error.name}: pip install 'bitfold[train]'", name=error.name) from None
    return getattr(module, name, module)
