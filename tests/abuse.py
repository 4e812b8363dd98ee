"""Damage: seeded mutations of files that other people send."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import numpy as np

BIG = [b"0", b"-1", b"1e999", b"nan", b"inf", b"true", b"null", b"[]", b"{}", b'""', b"9" * 40, b"9" * 5000,
       b"%d" % (2**31), b"%d" % (2**63), b"-%d" % (2**63), b"0.5", b"[" * 2000, b'"' + b"x" * 3000 + b'"']  # fmt: skip
"""What stands in a number's place, or a word's."""

OTHERS: list[object] = [
    0, 1, -1, 2, 7, 2**31, 2**62, 2**64, -(2**63), 10**30, 0.5, None, True, "", "x" * 3000, [], {}, [[]],
    "Chain", "Residual",
]  # fmt: skip
"""What stands in the place of a value of JSON."""

TOKEN = re.compile(rb'"[^"\n]*"|-?\d+(?:\.\d+)?|[A-Za-z_][\w.-]*|[\[\]{}=:,]')

Mutation = Callable[[bytes, np.random.Generator], bytes]


def _place(raw: bytes, rng: np.random.Generator) -> int:
    # The front of a file says the most.
    return int(rng.integers(len(raw)) if rng.random() < 0.5 else rng.integers(min(len(raw), 600)))


def flip(raw: bytes, rng: np.random.Generator) -> bytes:
    """One to eight bits turned."""
    changed = bytearray(raw)
    for _ in range(rng.integers(1, 9)):
        changed[_place(raw, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def cut(raw: bytes, rng: np.random.Generator) -> bytes:
    """The end is missing, or a piece in the middle."""
    start = _place(raw, rng)
    return raw[:start] + (raw[start + int(rng.integers(1, 200)) :] if rng.random() < 0.5 else b"")


def insert(raw: bytes, rng: np.random.Generator) -> bytes:
    """Random bytes, or a piece of the file once more, anywhere."""
    start, length = _place(raw, rng), int(rng.integers(1, 100))
    piece = rng.bytes(length) if rng.random() < 0.5 else raw[start : start + length]
    place = _place(raw, rng)
    return raw[:place] + piece + raw[place:]


def exchange(raw: bytes, rng: np.random.Generator) -> bytes:
    """A number or word of the text becomes another one of it, or something outrageous."""
    tokens = list(TOKEN.finditer(raw[:20_000]))
    if not tokens:
        return flip(raw, rng)
    old = tokens[rng.integers(len(tokens))]
    new = BIG[rng.integers(len(BIG))] if rng.random() < 0.6 else tokens[rng.integers(len(tokens))][0]
    return raw[: old.start()] + new + raw[old.end() :]


def lines(raw: bytes, rng: np.random.Generator) -> bytes:
    """A line is doubled, gone, or somewhere else."""
    every = raw.splitlines(keepends=True)
    line = every.pop(rng.integers(len(every)))
    for _ in range(rng.integers(3)):
        every.insert(int(rng.integers(len(every) + 1)), line)
    return b"".join(every)


def values(raw: bytes, rng: np.random.Generator) -> bytes:
    """Of the JSON in a file, alone or behind its length, one value becomes another; the length is right again."""
    counted = raw[8:9] == b"{"
    length = int.from_bytes(raw[:8], "little") if counted else len(raw)
    start = 8 if counted else 0
    try:
        content = json.loads(raw[start : start + length])
        if counted and rng.random() < 0.8:
            # The description is JSON within JSON.
            described = _changed(json.loads(content["__metadata__"]["bitfold"]), rng)
            content["__metadata__"]["bitfold"] = json.dumps(described, sort_keys=True, separators=(",", ":"))
        else:
            content = _changed(content, rng)
    except (ValueError, RecursionError, KeyError, TypeError):
        return exchange(raw, rng)
    text = json.dumps(content, separators=(",", ":")).encode()
    if not counted:
        return text
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + raw[8 + length :]


def _changed(value: object, rng: np.random.Generator) -> object:
    """A value somewhere inside becomes another."""
    if isinstance(value, dict) and value and rng.random() < 0.95:
        key = list(value)[rng.integers(len(value))]
        if rng.random() < 0.1:
            return {name: each for name, each in value.items() if name != key}
        if rng.random() < 0.1:
            return value | {f"{key}x": value[key]}
        return value | {key: _changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = int(rng.integers(len(value)))
        if rng.random() < 0.2:
            return [*value[:at], *value[at + 1 :]] if rng.random() < 0.5 else [*value, value[at]]
        return [*value[:at], _changed(value[at], rng), *value[at + 1 :]]
    if isinstance(value, int) and rng.random() < 0.5:
        return value + int(rng.integers(-3, 4))
    return OTHERS[rng.integers(len(OTHERS))]


MUTATIONS: tuple[Mutation, ...] = (flip, cut, insert, exchange, lines, values)


def mutants(raw: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`count` damaged files, most of them once, some twice and three times."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        changed = raw
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            changed = MUTATIONS[rng.integers(len(MUTATIONS))](changed, rng) or b"\0"
        yield changed
