"""Names in the generated Verilog: none of a machine can meet one of another's, none has to be escaped.

The modules inside machine NAME are called NAME__x, and no machine's name has two underscores in a row or one at its
end: so what stands before a module's first pair of underscores is its machine's name.
"""

import re

from ...model.error import BadInput, short

RESERVED = frozenset(
    """
    abs accept_on access after alias all always always_comb always_ff always_latch and architecture array assert assign
    assume assume_guarantee attribute automatic before begin bind bins binsof bit block body break buf buffer bufif0
    bufif1 bus byte case casex casez cell chandle checker class clocking cmos component config configuration const
    constant constraint context continue cover covergroup coverpoint cross deassign default defparam design disable
    disconnect dist do downto edge else elsif end endcase endchecker endclass endclocking endconfig endfunction
    endgenerate endgroup endinterface endmodule endpackage endprimitive endprogram endproperty endsequence endspecify
    endtable endtask entity enum event eventually exit expect export extends extern fairness file final first_match for
    force foreach forever fork forkjoin function generate generic genvar global group guarded highz0 highz1 if iff
    ifnone ignore_bins illegal_bins implements implies import impure in incdir include inertial initial inout input
    inside instance int integer interconnect interface intersect is join join_any join_none label large let liblist
    library linkage literal local localparam logic longint loop macromodule map matches medium mod modport module nand
    negedge nettype new next nexttime nmos nor noshowcancelled not notif0 notif1 null of on open or others out output
    package packed parameter pmos port posedge postponed primitive priority private procedure process program property
    protected pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence
    range rcmos real realtime record ref reg register reject reject_on release rem repeat report restrict
    restrict_guarantee return rnmos rol ror rpmos rtran rtranif0 rtranif1 s_always s_eventually s_nexttime s_until
    s_until_with scalared select sequence severity shared shortint shortreal showcancelled signal signed sla sll small
    soft solve specify specparam sra srl static std string strong strong0 strong1 struct subtype super supply0 supply1
    sync_accept_on sync_reject_on table tagged task then this throughout time timeprecision timeunit to tran tranif0
    tranif1 transport tri tri0 tri1 triand trior trireg type typedef unaffected union unique unique0 units unsigned
    until until_with untyped use uwire var variable vectored view virtual vmode void vprop vunit wait wait_order wand
    weak weak0 weak1 when while wildcard wire with within wor work xnor xor
    """.split()  # noqa: SIM905  a list of strings is harder to read
)
"""The reserved words of Verilog, SystemVerilog (IEEE 1800-2017) and VHDL (IEEE 1076-2019), and its two libraries."""


MOST = 100
"""Characters of a machine's name: files and modules have longer names that begin with it."""

LONGEST = 20_000
"""Characters of a line of Verilog."""


def inner(name: str, path: str) -> str:
    """Name of the module at `path` inside machine `name`."""
    return f"{name}__{path}"


def unit_module(name: str, unit: str) -> str:
    """Name of the module of the accelerator's unit `unit` inside machine `name`."""
    return inner(name, f"accelerator__{unit}")


def check_name(name: str) -> None:
    """BadInput where a machine cannot be called so.

    Verilog and VHDL both have to take its name, VHDL whatever the case of its letters.
    """
    if not re.fullmatch(r"[A-Za-z](_?[A-Za-z0-9])*", name) or len(name) > MOST:
        raise BadInput(
            f"the module's name {short(name)} must be letters, digits and single underscores, at most {MOST}, "
            "with a letter first and no underscore last"
        )
    if name.lower() in RESERVED or name == "TOP":
        raise BadInput(f"the module's name {short(name)} is reserved in Verilog, SystemVerilog, VHDL or Verilator")


def plain(text: str, name: str) -> str:
    """The Verilog of machine `name` as Amaranth gives it, with other names for those that Verilog has to escape.

    Modules are called after their place, with dots; names that occur twice in a module have a $ and a number. The same
    name gets the same one everywhere, so ports still fit. BadInput where a signal has the machine's own name.
    """
    if re.search(rf"^ *(?:input|output|wire|reg) (?:\[\d+:0\] )?{name}(?: \[\d+:0\])?;$", text, re.MULTILINE):
        raise BadInput(f"the module's name {short(name)} is that of a signal in it; take another")
    taken = set(re.findall(r"\w+", text)) | RESERVED
    names: dict[str, str] = {}
    for escaped in dict.fromkeys(re.findall(r"\\(\S+) ", text)):
        if escaped.startswith(f"{name}."):
            path = escaped.removeprefix(f"{name}.").replace(".", "__")
            wanted = inner(name, re.sub(r"\W", "_", path))
        else:
            wanted = re.sub(r"\W+", "_", escaped).rstrip("_")
        free = wanted
        while free in taken:
            free = f"{free}_x"
        taken.add(free)
        names[escaped] = free
    return re.sub(r"\\(\S+) ", lambda found: names[found[1]], text)


def broken(text: str) -> str:
    """The same Verilog in lines that Verilator reads: it takes one of more than 40,000 words for endless."""
    return re.sub(rf".{{{LONGEST},}}", lambda line: line[0].replace(", ", ",\n"), text)
