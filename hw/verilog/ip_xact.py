"""The machine as a package for Vivado's catalogue: IP-XACT as of IEEE 1685-2009, with AMD's extensions."""

from collections.abc import Iterator, Mapping, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ..control.registers import BITS, WORDS, Register
from .formats import Formats
from .ports import BUSES, Port, interfaces, ports, reset

FILE = "component.xml"
"""The name under which Vivado looks for it."""
SPIRIT = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
XILINX = "http://www.xilinx.com"
VENDOR, LIBRARY, VERSION = "bitfold", "networks", "1.0"
FAMILIES = (
    *("artix7", "kintex7", "spartan7", "virtex7", "zynq", "kintexu", "virtexu"),
    *("artixuplus", "kintexuplus", "virtexuplus", "zynquplus", "versal"),
)
VIEWS = {"xilinx_anylanguagesynthesis": "synthesis", "xilinx_anylanguagebehavioralsimulation": "simulation"}


def component(name: str, description: str, f: Formats, table: Sequence[Register], contents: Sequence[str]) -> bytes:
    """The package of machine `name`: NAME.v beside it, the files of `contents` and the registers of `table`."""
    ElementTree.register_namespace("spirit", SPIRIT)
    ElementTree.register_namespace("xilinx", XILINX)
    every = ports(f)
    root = _e(
        "component",
        *(_e("vendor", VENDOR), _e("library", LIBRARY), _e("name", name), _e("version", VERSION)),
        _e("busInterfaces", *_buses(f, every)),
        *_memory_maps(table if "s_axi" in interfaces(f) else ()),
        _e("model", _e("views", *_views(name)), _e("ports", *map(_port, every))),
        _e("fileSets", *_file_sets(name, contents)),
        _e("description", description),
        _e("parameters", *_parameters({"Component_Name": name})),
        _e("vendorExtensions", _extensions(name)),
    )
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"


def _e(kind: str, /, *inside: Element | str, space: str = SPIRIT, **attributes: str) -> Element:
    """An element with a text or with others in it, and attributes of the same name space."""
    element = Element(f"{{{space}}}{kind}", {f"{{{space}}}{key}": value for key, value in attributes.items()})
    for part in inside:
        if isinstance(part, str):
            element.text = part
        else:
            element.append(part)
    return element


def _parameters(values: Mapping[str, str]) -> Iterator[Element]:
    for name, value in values.items():
        yield _e("parameter", _e("name", name), _e("value", value))


def _buses(f: Formats, every: Sequence[Port]) -> Iterator[Element]:
    for bus in interfaces(f):
        maps = {port.signal.split()[1]: port.name for port in every if port.signal.startswith(f"{bus} ")}
        role = _e("master") if bus.startswith("m_") else _e("slave")
        if BUSES[bus] == "aximm":
            role.append(_e("memoryMapRef", memoryMapRef=bus))
        yield _bus(bus, "interface", BUSES[bus], role, maps, {"PROTOCOL": "AXI4LITE"} if BUSES[bus] == "aximm" else {})
    name = reset(f)
    polarity = {"POLARITY": f"ACTIVE_{'LOW' if f.interface.aresetn else 'HIGH'}"}
    yield _bus(name, "signal", "reset", _e("slave"), {"RST": name}, polarity)
    belongs = {"ASSOCIATED_BUSIF": ":".join(interfaces(f)), "ASSOCIATED_RESET": name}
    yield _bus("clk", "signal", "clock", _e("slave"), {"CLK": "clk"}, belongs)


def _bus(
    name: str, library: str, kind: str, role: Element, maps: Mapping[str, str], values: Mapping[str, str]
) -> Element:
    """An interface of a kind of AMD's `library`; `maps` gives its signals' ports, `values` its parameters."""

    def typed(what: str, of: str) -> Element:
        return _e(what, vendor="xilinx.com", library=library, name=of, version="1.0")

    mapped = (
        _e("portMap", _e("logicalPort", _e("name", logical)), _e("physicalPort", _e("name", physical)))
        for logical, physical in maps.items()
    )
    parameters = (_e("parameters", *_parameters(values)),) if values else ()
    kinds = typed("busType", kind), typed("abstractionType", f"{kind}_rtl")
    return _e("busInterface", _e("name", name), *kinds, role, _e("portMaps", *mapped), *parameters)


def _memory_maps(table: Sequence[Register]) -> Iterator[Element]:
    if table:
        block = _e(
            "addressBlock",
            *(_e("name", "registers"), _e("baseAddress", "0"), _e("range", str(WORDS * BITS // 8))),
            *(_e("width", str(BITS)), _e("usage", "register")),
            *map(_register, table),
        )
        yield _e("memoryMaps", _e("memoryMap", _e("name", "s_axi"), block))


def _register(register: Register) -> Element:
    return _e(
        "register",
        *(_e("name", register.name), _e("description", register.meaning)),
        *(_e("addressOffset", f"0x{register.offset:02X}"), _e("size", str(BITS))),
        *(_e("volatile", "true"),) * (register.value is None),
        _e("access", "write-only" if register.writable else "read-only"),
        *(_e("reset", _e("value", f"0x{register.value or 0:08X}")),),
    )


def _views(name: str) -> Iterator[Element]:
    for view, use in VIEWS.items():
        yield _e(
            "view",
            *(_e("name", view), _e("envIdentifier", f":vivado.xilinx.com:{use}"), _e("language", "Verilog")),
            *(_e("modelName", name), _e("fileSetRef", _e("localName", f"{view}_view_fileset"))),
        )


def _port(port: Port) -> Element:
    wire = _e("wire", _e("direction", "out" if port.output else "in"))
    if port.bits > 1:
        wire.append(_e("vector", _e("left", str(port.bits - 1)), _e("right", "0")))
    return _e("port", _e("name", port.name), _e("description", port.meaning), wire)


def _file_sets(name: str, contents: Sequence[str]) -> Iterator[Element]:
    for view in VIEWS:
        memories = (_e("file", _e("name", file), _e("userFileType", "mem")) for file in contents)
        verilog = _e("file", _e("name", f"{name}.v"), _e("fileType", "verilogSource"))
        yield _e("fileSet", _e("name", f"{view}_view_fileset"), *memories, verilog)


def _extensions(name: str) -> Element:
    def x(kind: str, *inside: Element | str, **attributes: str) -> Element:
        return _e(kind, *inside, space=XILINX, **attributes)

    families = (x("family", family, lifeCycle="Production") for family in FAMILIES)
    return x(
        "coreExtensions",
        *(x("supportedFamilies", *families), x("taxonomies", x("taxonomy", "/UserIP"))),
        *(x("displayName", name), x("coreRevision", "1")),
    )
