"""A circuit that steps in C++, for runs of millions of cycles; where there is no g++ `evaluate.Steps` does."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Literal

from ...model.places import scratch
from ...model.processes import call
from .circuit import Circuit, Node
from .evaluate import in_order

WIDEST = 63
"""Bits of a value, with room for a carry."""

PROGRAM = """#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>
typedef uint64_t u;
static u s[{states}], n[{states}];
static u last, reset;
static u step() {{
{lines}
  return {taken};
}}
static int end(int again, u frames, u cycle) {{
  printf("%d %llu %llu", again, (unsigned long long)frames, (unsigned long long)cycle);
  return 0;
}}
int main() {{
  reset = 1;
  step();
  memcpy(s, n, sizeof s);
  reset = 0;
  std::vector<std::vector<u>> seen;
  u sent = 0, frames = 0, cycle = 0;
  while (frames < {frames}) {{
    cycle++;
    last = sent == {words} - 1;
    u taken = step();
    if (!taken && !memcmp(s, n, sizeof s)) return end(0, frames, cycle);
    memcpy(s, n, sizeof s);
    sent += taken;
    if (sent == {words}) {{
      sent = 0;
      frames++;
      std::vector<u> now(s, s + {states});
      for (auto &before : seen)
        if (before == now) return end(1, frames, cycle);
      seen.push_back(now);
    }}
  }}
}}
"""


class _Unable(Enum):
    """What `run` gives where it cannot."""

    UNABLE = 0


UNABLE = _Unable.UNABLE


def run(
    circuit: Circuit,
    roots: Sequence[int],
    words: int,
    frames: int,
    given: Mapping[int, int],
    resets: Collection[int],
    beat: tuple[int, int] | None,
) -> tuple[bool, int, int] | Literal[_Unable.UNABLE] | None:
    """Whether a state came again, after how many frames and cycles, or it stands still; None where neither shows.

    Frames are of so many words, of which the first of the roots says that one is taken; the registers that the
    roots hang on are the state. `given` are the inputs' values, but
    that `resets` are high in the cycle before, and `beat` is an input of which a bit marks a frame's last word.
    """
    gcc = shutil.which("g++")
    states = [place for place in circuit.cone(roots) if circuit.nodes[place].op == "state"]
    places = in_order(circuit, [*roots, *(circuit.next[place] for place in states)])
    if gcc is None or any(circuit.nodes[place].width > WIDEST or circuit.nodes[place].address for place in places):
        return UNABLE
    index = {place: k for k, place in enumerate(states)}
    lines = []
    for place in places:
        node = circuit.nodes[place]
        if node.op == "state":
            value = f"s[{index[place]}]"
        elif beat is not None and place == beat[0]:
            value = f"last << {beat[1]}"
        elif node.op == "input":
            value = "reset" if place in resets else f"{given[place]}"
        else:
            value = _formula(node, circuit.nodes)
        lines.append(f"  u v{place} = {value};")
    lines += [f"  n[{k}] = v{circuit.next[place]};" for place, k in index.items()]
    made = {"states": len(index), "lines": "\n".join(lines), "taken": f"v{roots[0]}", "words": words, "frames": frames}
    with scratch() as work:
        (work / "run.cpp").write_text(PROGRAM.format(**made), encoding="utf-8")
        status, said = call([gcc, "-O1", "-o", "run", "run.cpp"], cwd=work)
        if status:
            raise RuntimeError(f"g++ failed:\n{said[-2000:]}")
        status, said = call([str(work / "run")], cwd=work)
    if status:
        raise RuntimeError(f"a run failed with status {status}: {said[-200:]}")
    if not said:
        return None
    again, ended, cycle = map(int, said.split())
    return bool(again), ended, cycle


def _formula(node: Node, nodes: Sequence[Node]) -> str:
    """C++ for what a node gives, as an unsigned number."""
    a, b, c = ([f"v{place}" for place in node.args] + ["", "", ""])[:3]
    mask, sign = f"{(1 << node.width) - 1}ull", f"{1 << nodes[node.args[0]].width - 1}ull" if node.args else ""
    ones = f"{(1 << nodes[node.args[0]].width) - 1}ull" if node.args else ""
    x, y = f"(int64_t)(({a} ^ {sign}) - {sign})", f"(int64_t)(({b} ^ {sign}) - {sign})"
    compare = {"eq": "==", "neq": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
    match node.op:
        case "const":
            return f"{node.data[0]}ull"
        case "slice":
            return f"{a} >> {node.data[1]} & {mask}"
        case "uext":
            return a
        case "sext":
            return f"(({a} ^ {sign}) - {sign}) & {mask}"
        case "concat":
            return f"{a} << {nodes[node.args[1]].width} | {b}"
        case "add" | "sub":
            return f"({a} {'+' if node.op == 'add' else '-'} {b}) & {mask}"
        case "neg":
            return f"-{a} & {mask}"
        case "and" | "or" | "xor":
            return f"{a} {dict(zip(('and', 'or', 'xor'), '&|^', strict=True))[node.op]} {b}"
        case "xnor":
            return f"{a} ^ {b} ^ {mask}"
        case "not":
            return f"{a} ^ {mask}"
        case "redor":
            return f"{a} != 0"
        case "redand":
            return f"{a} == {ones}"
        case "redxor":
            return f"__builtin_parityll({a})"
        case "ite":
            return f"{a} ? {b} : {c}"
        case "eq" | "neq":
            return f"{a} {compare[node.op]} {b}"
        case "ult" | "ulte" | "ugt" | "ugte":
            return f"{a} {compare[node.op[1:]]} {b}"
        case "slt" | "slte" | "sgt" | "sgte":
            return f"{x} {compare[node.op[1:]]} {y}"
        case "sll":
            return f"{b} < {node.width} ? {a} << {b} & {mask} : 0"
        case "srl":
            return f"{b} < {node.width} ? {a} >> {b} : 0"
        case "sra":
            return f"({x} >> ({b} < 63 ? {b} : 63)) & {mask}"
    raise NotImplementedError(f"no formula for {node.op}")
