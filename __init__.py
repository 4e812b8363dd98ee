"""bitfold: multiplier-free accelerators for networks whose weights are single bits, proven bit for bit.

net = bitfold.Net.load("digits.bitfold")        what is computed
plan = bitfold.fit(net, lanes=1024)             how far it is unrolled
bitfold.Accelerator(net, plan)                  an Amaranth component
bitfold.write_verilog(net, plan, folder)        Verilog with AXI4-Stream
bitfold.check(net, plan, images)                the Verilog in a simulator against the network
"""

from .hw.accelerator import Accelerator
from .hw.plan import Folding, Plan
from .hw.planner import balance, fit, fit_device, meet
from .hw.verilog.write import write as write_verilog
from .model.error import BadInput
from .model.net import Net
from .model.tensor import Tensor
from .sim.simulate import check, simulate

__all__ = [
    "Accelerator",
    "BadInput",
    "Folding",
    "Net",
    "Plan",
    "Tensor",
    "balance",
    "check",
    "fit",
    "fit_device",
    "meet",
    "simulate",
    "write_verilog",
]
