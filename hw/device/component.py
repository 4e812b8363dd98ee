"""Components whose ports are made late: a planner makes thousands of units to ask what they take, and builds none."""

from collections.abc import Mapping
from dataclasses import dataclass

from amaranth.lib import wiring


class Component(wiring.Component):
    """A component with these ports, made when one of them, or the signature, is first asked for."""

    def __init__(self, ports: Mapping[str, wiring.Member]):
        self._ports = ports

    def __getattr__(self, name: str):
        ports = self.__dict__.pop("_ports", None)
        if ports is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        super().__init__(dict(ports))
        return getattr(self, name)


@dataclass(frozen=True)
class Port:
    """A unit's stream by name, so that it need not be made yet."""

    unit: wiring.Component
    name: str

    @property
    def interface(self) -> wiring.PureInterface:
        return getattr(self.unit, self.name)
