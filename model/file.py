"""The file of a network: a safetensors container that is written whole and distrusted when read.

Only what `write` writes is read, byte for byte: a network has one file, and a file says nothing besides it.

Every array of the network is one tensor, named by the path of attributes that leads to it: weights as uint8,
eight to a byte (numpy.packbits' order, the last byte filled up with 0), offsets, factors and tables as int64. The
single metadata entry "bitfold" is JSON: the format's version and the network's dataclasses, field by field,
where an array is given by its shape, and a flag by being there: one that is False is left out, so that a network
which has no use for a new flag keeps its file and its digest. A new kind of layer whose fields have the types that
`_decode` knows needs nothing here.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import fields
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from .error import BadInput
from .layers import KINDS, Chain
from .limits import MAX_DEPTH
from .read import NETWORK, kind_of, read_bytes
from .tensor import Tensor
from .write import write_beside

VERSION = 1
MAX_BYTES = 2**27
"""Of a file: as many weights, constants and bytes of header as there may be take less."""
MAX_HEADER = 2**22
MAX_NESTING = 2 * MAX_DEPTH + 4
"""Steps in the path of attributes to a layer: two for each chain around it."""
MEND = "update bitfold, or fetch or save the file again"

_Arrays = dict[str, NDArray[Any]]
_KINDS: dict[str, type] = {kind.__name__: kind for kind in KINDS}
_T = TypeVar("_T")


def digest(network: object) -> str:
    """sha256, in hex, of everything the network's dataclasses hold; equal networks have equal digests."""
    text, arrays = _described(network)
    hashed = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        hashed.update(_bytes(arrays[name]))
    return hashed.hexdigest()


def check(network: object) -> None:
    """BadInput where the network is too large for a file."""
    length = len(_header(*_described(network)))
    if length > MAX_HEADER:
        raise BadInput(
            f"the network's description takes {length:,} bytes, a file has room for {MAX_HEADER:,}: "
            "shorten the class names"
        )


def write(network: object, path: str | os.PathLike[str]) -> None:
    """Write the file beside its place, then rename: a reader sees the old file or the new one, whole.

    The same network gives the same bytes. BadInput when the disk refuses them.
    """
    write_beside(path, _whole(network))


def read(kind: type[_T], path: str | os.PathLike[str]) -> _T:
    """The network of class `kind` in the file.

    BadInput, in one line, for whatever is not byte for byte what `write` writes. Nothing is allocated that the
    file's own size does not pay for.
    """
    raw = read_bytes(path, "a .bitfold file", MAX_BYTES)
    try:
        return _parse(kind, raw)
    except BadInput as error:
        found = kind_of(raw)
        if found in (None, NETWORK):
            raise BadInput(f"{path} is not a usable network: {error}; {MEND}") from None
        raise BadInput(f"{path} is not a network but {found}; give a .bitfold file, as training writes it") from None


def _described(network: object) -> tuple[str, _Arrays]:
    """The description in JSON, and the arrays by name."""
    arrays: _Arrays = {}
    described = {"version": VERSION, "network": _encode(network, "net", arrays)}
    return json.dumps(described, sort_keys=True, separators=(",", ":")), arrays


def _encode(value: Any, path: str, arrays: _Arrays) -> Any:
    """JSON for a value; arrays go into `arrays` and leave their shape."""
    match value:
        case None | str() | int():
            return value
        case tuple():
            return [_encode(item, f"{path}.{index}", arrays) for index, item in enumerate(value)]
        case np.ndarray():
            arrays[path] = value
            return list(value.shape)
        case _:
            names = [field.name for field in fields(value) if field.init and getattr(value, field.name) is not False]
            inner = {name: _encode(getattr(value, name), f"{path}.{name}", arrays) for name in names}
            return {"kind": type(value).__name__, **inner}


def _whole(network: object) -> bytes:
    """The file of a network."""
    text, arrays = _described(network)
    header = _header(text, arrays)
    return b"".join([len(header).to_bytes(8, "little"), header, *(_bytes(arrays[name]) for name in _order(arrays))])


def _order(arrays: _Arrays) -> list[str]:
    """The names as their tensors follow each other: those of wider numbers first, as safetensors has them."""
    return sorted(arrays, key=lambda name: (arrays[name].dtype == np.bool_, name))


def _header(text: str, arrays: _Arrays) -> bytes:
    """safetensors' header: what the file's tensors are and where."""
    header: dict[str, Any] = {"__metadata__": {"bitfold": text}}
    end = 0
    for name in _order(arrays):
        bits = arrays[name].dtype == np.bool_
        count = -(-arrays[name].size // 8) if bits else arrays[name].size
        start, end = end, end + (count if bits else 8 * count)
        header[name] = {"dtype": "U8" if bits else "I64", "shape": [count], "data_offsets": [start, end]}
    raw = json.dumps(header, separators=(",", ":")).encode()
    return raw + b" " * (-len(raw) % 8)


def _bytes(array: NDArray[Any]) -> bytes:
    """An array as the file has it."""
    return (np.packbits(array) if array.dtype == np.bool_ else array.astype("<i8", copy=False)).tobytes()


def _parse(kind: type[_T], raw: bytes) -> _T:
    if len(raw) > MAX_BYTES:
        raise BadInput(f"it is larger than {MAX_BYTES} bytes")
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or length > len(raw) - 8:
        raise BadInput(f"it is cut short at {len(raw)} bytes")
    if length > MAX_HEADER:
        raise BadInput(f"its header claims {length} bytes, at most {MAX_HEADER} are read")
    header = _json(raw[8 : 8 + length], "header")
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get("bitfold"), str):
        raise BadInput("it holds no bitfold network")
    for name, entry in header.items():
        if not isinstance(entry, dict) or entry.get("dtype") not in ("U8", "I64"):
            raise BadInput(f"tensor {_short(name)} is neither uint8 nor int64")
    described = _json(metadata["bitfold"], "description")
    version = described.get("version")
    if type(version) is not int or version != VERSION:
        raise BadInput(f"its version is {_short(version)}, this bitfold reads {VERSION}")
    try:
        arrays = load(raw)
    except SafetensorError as error:
        raise BadInput(f"safetensors says {_short(str(error))}") from None
    network = _object(kind, described.get("network"), "net", arrays)
    if _whole(network) != raw:
        raise BadInput("its bytes are not those that are written for the network in it")
    return network


def _json(text: str | bytes, name: str) -> dict[str, Any]:
    """The object in the text, of integers, strings, lists and objects."""

    def small(digits: str) -> int:
        if len(digits) > 20:
            raise BadInput(f"the {name} holds a number of {len(digits)} digits")
        return int(digits)

    def refuse(number: str) -> NoReturn:
        raise BadInput(f"the {name} holds {_short(number)}, which is no integer")

    try:
        value = json.loads(text, parse_int=small, parse_float=refuse, parse_constant=refuse)
    except BadInput:
        raise
    except (ValueError, RecursionError):
        raise BadInput(f"the {name} is not JSON") from None
    if not isinstance(value, dict):
        raise BadInput(f"the {name} is not an object")
    return value


def _object(kind: type[_T], value: Any, path: str, arrays: _Arrays) -> _T:
    """An instance of the dataclass; its own constructor judges the values."""
    types = {field.name: str(field.type) for field in fields(kind) if field.init}  # type: ignore[arg-type]
    flags = {name for name, annotation in types.items() if annotation == "bool"}
    if not isinstance(value, dict) or value.keys() | flags != {"kind", *types} or value["kind"] != kind.__name__:
        raise BadInput(f"{path} is not a {kind.__name__} with the fields {', '.join(types)}")
    return kind(**{name: _decode(types[name], value.get(name, False), f"{path}.{name}", arrays) for name in types})


def _decode(annotation: str, value: Any, path: str, arrays: _Arrays) -> Any:
    """The value of a field with that annotation."""
    if path.count(".") > MAX_NESTING:
        raise BadInput("its layers are nested too deeply")
    match annotation, value:
        case "int", int() if type(value) is int:
            return value
        case ("str", str()) | ("bool", bool()):
            return value
        case "Padding", [_, _, _, _]:
            return tuple(_decode("int", item, path, arrays) for item in value)
        case (("tuple[str, ...]" | "tuple[Layer, ...]"), list()):
            item = annotation[6:-6]
            return tuple(_decode(item, each, f"{path}.{i}", arrays) for i, each in enumerate(value))
        case "Tensor", _:
            return _object(Tensor, value, path, arrays)
        case "Chain", _:
            return _object(Chain, value, path, arrays)
        case "Layer", {"kind": str(name)}:
            if name not in _KINDS:
                raise BadInput(f"{path} is of the unknown kind {_short(name)}")
            return _object(_KINDS[name], value, path, arrays)
        case "NDArray[np.bool_]", [_, _, _, _] if all(type(n) is int and n > 0 for n in value):
            bits = math.prod(value)
            packed = _take(arrays, path, np.uint8, -(-bits // 8))
            return np.unpackbits(packed, count=bits).view(np.bool_).reshape(value)
        case "NDArray[np.int64] | None", None:
            return None
        case (("NDArray[np.int64]" | "NDArray[np.int64] | None"), [size]) if type(size) is int:
            return _take(arrays, path, np.int64, size)
    raise BadInput(f"{path} is {_short(value)} instead of {annotation}")


def _take(arrays: _Arrays, path: str, dtype: type[np.generic], size: int) -> NDArray[Any]:
    array = arrays.pop(path, None)
    if array is None or array.shape != (size,) or array.dtype != dtype:
        found = "none" if array is None else f"{array.dtype} {list(array.shape)}"
        raise BadInput(f"{path} needs {dtype.__name__} [{size}], the file has {found}")
    return array


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
