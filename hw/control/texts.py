"""What software includes or imports to reach the registers."""

from collections.abc import Iterator, Sequence

from .registers import SOFT_RESET, Register


def header(name: str, table: Sequence[Register]) -> str:
    """The C header of machine `name`."""
    prefix = name.upper()
    lines = [
        f"/* Registers of {name}, 32 bits each: offsets in bytes, and what constant ones read. */",
        f"#ifndef {prefix}_REGISTERS_H",
        f"#define {prefix}_REGISTERS_H",
        "",
        *(f"#define {prefix}_{key} {value}u /* {what} */" for key, value, what in _constants(table)),
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def module(name: str, table: Sequence[Register]) -> str:
    """The Python module of machine `name`."""
    lines = [
        f'"""Registers of {name}, 32 bits each: offsets in bytes, and what constant ones read."""',
        "",
        *(f"{key} = {value}  # {what}" for key, value, what in _constants(table)),
    ]
    return "\n".join(lines) + "\n"


def _constants(table: Sequence[Register]) -> Iterator[tuple[str, str, str]]:
    """Name, value and meaning of each."""
    for register in table:
        key = register.name.upper()
        yield key, f"0x{register.offset:02x}", f"{'write' if register.writable else 'read'}: {register.meaning}"
        if register.value is not None:
            yield f"{key}_VALUE", f"0x{register.value:08x}", f"what {key} reads"
        if register.writable:
            yield f"{key}_SOFT_RESET", f"0x{SOFT_RESET:08x}", "the bit for a soft reset"
