"""A recipe: which network, on what, and how it is trained; a short TOML file."""

from __future__ import annotations

import difflib
import hashlib
import math
import os
import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
import msgspec.structs
from msgspec import Meta, Struct

from ..error import BadInput, cut, suggest
from ..read import read_text
from .data.image_files import SIZE

Positive = Annotated[int, Meta(ge=1)]
Side = Annotated[int, Meta(ge=0, le=1 << 14)]
Size = Annotated[int, Meta(ge=1, le=1 << 11)]
Above = Annotated[float, Meta(gt=0, le=1e38)]  # what float32 holds
NotNegative = Annotated[float, Meta(ge=0, le=1e38)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Network(Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """What is trained.

    form : wide residual (depth 6k + 2), its ImageNet form, or convolutions without skips (depth 3k + 1); FINN's CNV
        (depth 9) and AlexNet (depth 8), with maximum pools and dense layers
    channels : of the first stage; the papers' width times 16, resnet18's times 64, 64 in CNV and 96 in AlexNet
    weights : bits of a weight
    scale : of 1-bit weights: sqrt(2 / fan-in) or the power of two nearest to it
    activation : sign, one bit, is a fully binary layer's (BitFlow-Net), and needs a norm
    norm : before every activation; batch-plain learns no scale and shift
    final_norm : after the last convolution
    temperature : the logits are divided by it, to the nearest power of two (arXiv 1907.06916)
    branch_shift : each residual branch is divided by 2 to this
    bits : of an activation once it is coded, 1 for a sign; 0 stays in floating point
    """

    form: Literal["wide", "resnet18", "plain", "cnv", "alexnet"]
    depth: Annotated[int, Meta(ge=1, le=1000)]
    channels: Annotated[int, Meta(ge=1, le=1 << 14)]
    weights: Literal[1, 32] = 1
    scale: Literal["power-of-two", "exact"] = "power-of-two"
    activation: Literal["shifted-relu", "relu", "elu", "sign"] = "shifted-relu"
    norm: Literal["none", "batch", "batch-plain", "mean"] = "none"
    final_norm: Literal["none", "batch", "batch-plain", "mean"] = "none"
    temperature: Annotated[float, Meta(ge=1e-6, le=1e6)] = 1.0
    branch_shift: Annotated[int, Meta(ge=0, le=16)] = 0
    bits: Literal[0, 1, 2, 3, 4, 5, 6, 7, 8] = 8


class Augment(Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """What happens to a training image.

    shift : moved by up to so many pixels either way, the edge repeated
    flip : mirrored left to right: half of the images at random, or each in every second epoch (which half begins is
        drawn once a phase)
    cutout : side of a square, anywhere, filled with random pixels; 0 for none
    """

    shift: Side = 0
    flip: Literal["none", "random", "alternating"] = "none"
    cutout: Side = 0


class Schedule(Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """Gradient descent; the learning rate falls from `rate` to `end` along half a cosine.

    optimiser : sgd as in the papers; adam gets further in few epochs
    warmup : epochs in which the rate rises to `rate`, in a line, before it falls
    restarts : epochs after which the rate starts again from `rate` (arXiv 1802.08530)
    momentum : adam's first beta
    nesterov : sgd's momentum looks ahead (Sutskever et al., 2013)
    decay : of the latent weights, each step by rate * decay of themselves
    smoothing : share of each label that goes to all classes alike (arXiv 1512.00567, section 7)
    distil : while tuning, the share of the loss that compares the logits with those of the network before its
        activations were coded
    """

    epochs: Positive
    rate: Above
    optimiser: Literal["sgd", "adam"] = "sgd"
    end: NotNegative = 1e-5
    warmup: NotNegative = 0
    restarts: tuple[Positive, ...] = ()
    batch: Positive = 125
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    decay: NotNegative = 5e-4
    smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    distil: Share = 0.0

    def lasting(self, epochs: int) -> Schedule:
        """The same in so many epochs: rises and restarts come as much earlier or later."""
        ratio = epochs / self.epochs
        warmup = self.warmup * ratio
        scaled = {round(restart * ratio) for restart in self.restarts}
        restarts = {restart for restart in scaled if warmup < restart < epochs}
        return msgspec.structs.replace(self, epochs=epochs, warmup=warmup, restarts=tuple(sorted(restarts)))

    def rate_at(self, epoch: float) -> float:
        """The learning rate `epoch` epochs after the start, a fraction within an epoch."""
        if epoch < self.warmup:
            return self.rate * epoch / self.warmup
        ends = [*sorted(self.restarts), self.epochs]
        end = next(end for end in ends if epoch < end or end == self.epochs)
        start = max((restart for restart in self.restarts if restart <= epoch), default=self.warmup)
        return self.end + (self.rate - self.end) * (1 + math.cos(math.pi * (epoch - start) / (end - start))) / 2


class Recipe(Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """Activations start in floating point, because a narrow clip from the start stalls the training; then their
    codes are calibrated and the weights tuned to them.

    data : the name of a data set
    size : height, width and channels that pictures in folders are cut to; other data sets have their own
    train, tune : before and after calibration
    """

    data: str
    network: Network
    train: Schedule
    tune: Schedule | None = None
    augment: Augment = Augment()
    size: tuple[Size, Size, Size] = SIZE

    def __post_init__(self) -> None:
        network = self.network
        if self.size != SIZE and self.data != "folders":
            raise ValueError(f"size is of the data set folders; images of {self.data} have a size already: remove it")
        if network.activation == "sign" and network.bits > 1:
            raise ValueError(
                f"network.bits is {network.bits}, and a sign has one: set it to 1, or to 0 to train floats"
            )
        if network.bits == 1 and network.activation != "sign":
            raise ValueError(f"network.bits is 1, which only the activation sign has: {network.activation} has 2 to 8")
        if network.activation == "sign" and network.norm == "none":
            raise ValueError("network.norm is none, and a sign needs its sums normalised: set it to batch")
        if (self.network.bits == 0) != (self.tune is None):
            raise ValueError(
                "network.bits is 0, which leaves nothing to tune: remove [tune], or give bits 1 to 8"
                if self.tune
                else f"network.bits is {self.network.bits}, so [tune] must say how to train with such codes; "
                "add it, or set bits to 0"
            )
        if self.train.distil:
            raise ValueError("train.distil has no teacher: the network before its codes only teaches in [tune]")
        for name, schedule in self.schedules.items():
            late = [restart for restart in schedule.restarts if restart >= schedule.epochs]
            if late:
                raise ValueError(
                    f"{name}.restarts: a restart after epoch {late[0]} never comes, since `epochs` is {schedule.epochs}"
                )
            if schedule.warmup >= min(schedule.restarts, default=schedule.epochs):
                raise ValueError(f"{name}.warmup: the rate rises for {schedule.warmup:g} epochs and never falls")
            if schedule.nesterov and (schedule.optimiser != "sgd" or not schedule.momentum):
                raise ValueError(f"{name}.nesterov: only sgd with a momentum can look ahead")

    @property
    def schedules(self) -> dict[str, Schedule]:
        """The phases of training in their order."""
        return {"train": self.train} | ({"tune": self.tune} if self.tune else {})

    @property
    def epochs(self) -> int:
        """Of all phases together."""
        return sum(schedule.epochs for schedule in self.schedules.values())

    def lasting(self, epochs: int) -> Recipe:
        """The same in so many epochs in all, shared out as here; ValueError where a phase would have none."""
        if epochs < len(self.schedules):
            raise ValueError(f"{epochs} epochs are too few for {' and '.join(self.schedules)}")
        tune = min(max(1, round(epochs * self.tune.epochs / self.epochs)), epochs - 1) if self.tune else 0
        return msgspec.structs.replace(
            self, train=self.train.lasting(epochs - tune), tune=self.tune and self.tune.lasting(tune)
        )

    def of_channels(self, channels: int) -> Recipe:
        """The same for a network of so many channels."""
        return msgspec.structs.replace(self, network=msgspec.structs.replace(self.network, channels=channels))

    def digest(self) -> str:
        """sha256 in hex of what the recipe says, however it is written; a key at its default is as one left away."""
        return hashlib.sha256(msgspec.json.encode(_spoken(self), order="deterministic")).hexdigest()


def _spoken(table: Struct) -> dict[str, Any]:
    """The keys of a table that are not at their defaults."""
    said: dict[str, Any] = {}
    for field in msgspec.structs.fields(table):
        value = getattr(table, field.name)
        if value != field.default:
            said[field.encode_name] = _spoken(value) if isinstance(value, Struct) else value
    return said


_SHIPPED = resources.files(__package__) / "recipes"


def names() -> list[str]:
    """The shipped recipes, sorted."""
    return sorted(file.name.removesuffix(".toml") for file in _SHIPPED.iterdir() if file.name.endswith(".toml"))


def load(name: str) -> Recipe:
    """The recipe in the file `name`, or the shipped one of that name; BadInput in one line."""
    if name in names():
        return parse((_SHIPPED / f"{name}.toml").read_text("utf-8"), name)
    if not os.path.exists(name):
        near = suggest(Path(name).name.removesuffix(".toml"), names())
        raise BadInput(f"there is no recipe {name}; {near}give a file or one of {', '.join(names())}")
    return parse(read_text(name, "a recipe"), name)


def parse(text: str, name: str) -> Recipe:
    """The recipe that `text` is; BadInput says where in `name` it is wrong."""
    try:
        return msgspec.toml.decode(text, type=Recipe)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadInput(f"{name}: {_said(str(error))}") from None
    except RecursionError:
        raise BadInput(f"{name}: too many brackets within each other") from None


def _said(message: str) -> str:
    """msgspec's message with the place in front, and what could stand there: "train: unknown key `epoch`; ..."."""
    match = re.fullmatch(r"(.*?)(?: - at `\$\.?(.*)`)?", " ".join(message.split()))
    assert match  # whatever the message is
    what, place = match[1], match[2] or ""
    kind = _type_at(place)
    if found := re.fullmatch(r"Object contains unknown field (.*)", what):
        keys = sorted(field.encode_name for field in msgspec.structs.fields(kind))
        close = difflib.get_close_matches(found[1].strip("`"), keys, 1)
        what = f"unknown key {cut(found[1])}; " + (f"is it `{close[0]}`?" if close else f"there are {', '.join(keys)}")
    elif found := re.fullmatch(r"Object missing required field (.*)", what):
        what = f"the key {found[1]} is missing"
    elif found := re.fullmatch(r"Invalid enum value (.*)", what):
        what = f"{cut(found[1])} is none of {', '.join(map(repr, get_args(kind)))}"
    else:
        what = what[:1].lower() + what[1:]
        for json, toml in (("`object`", "a table"), ("got `null`", "got nothing")):
            what = what.replace(json, toml)
    return f"{place}: {what}" if place else what


def _type_at(place: str) -> Any:
    """The type of a recipe's value at a path such as train.rate."""
    kind: Any = Recipe
    for key in filter(None, place.split(".")):
        types = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        kind = types.get(key)
        kind = next((inner for inner in get_args(kind) if inner is Schedule), kind)
    return kind
