"""A step of descent against its formulas, and the lines that capture it on a GPU."""

from __future__ import annotations

import contextlib
import copy
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("msgspec")

from torch.nn import functional  # noqa: E402

from bitfold.model.tensor import Tensor  # noqa: E402
from bitfold.model.train import descent as descent_module  # noqa: E402
from bitfold.model.train.batches import Batch  # noqa: E402
from bitfold.model.train.descent import WARM, Descent, make_optimiser  # noqa: E402
from bitfold.model.train.device import Device  # noqa: E402
from bitfold.model.train.networks import build  # noqa: E402
from bitfold.model.train.recipe import Network, Schedule  # noqa: E402

CPU = Device(torch.device("cpu"), False)
FORM = Network("wide", 8, 4, norm="batch", branch_shift=1)


class Captures(Device):
    """A processor that is treated as a GPU that captures its steps."""

    captures = True


def batches(sizes, seed=0):
    random = torch.Generator().manual_seed(seed)
    return [
        Batch(
            torch.randint(256, (n, 6, 6, 1), generator=random, dtype=torch.uint8),
            torch.randint(4, (n,), generator=random),
            n,
        )
        for n in sizes
    ]


def network():
    torch.manual_seed(1)
    return build(FORM, Tensor(6, 6, 1, 0, 255, 6), (100,), 4).train()


def descent(net, device=CPU, teacher=None, **how):
    schedule = Schedule(**{"epochs": 9, "rate": 0.1} | how)
    return Descent(net, make_optimiser(net, schedule, device), schedule, teacher, device)


def state(found):
    return [each.detach().clone() for each in [*found.network.parameters(), *found.network.buffers(), found.sums]]


def assert_same(one, two):
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_its_formula(nesterov):
    """buffer = momentum * buffer + gradient; what is subtracted is that, or the gradient and momentum * buffer."""
    net = network()
    found = descent(net, momentum=0.8, nesterov=nesterov, decay=0.01)
    weights = next(each for each in net.parameters() if each.ndim > 1)
    expected, buffer = weights.detach().double(), torch.zeros_like(weights, dtype=torch.float64)
    for rate, batch in zip((0.1, 0.05, 0.2), batches([8, 8, 8]), strict=True):
        found.step(batch, rate)
        gradient = weights.grad.double() + 0.01 * expected
        buffer = 0.8 * buffer + gradient
        expected = expected - rate * (gradient + 0.8 * buffer if nesterov else buffer)
        torch.testing.assert_close(weights.detach().double(), expected, rtol=1e-5, atol=1e-6)


def test_the_loss_is_smoothed_and_summed():
    """A share of each label goes to all classes alike: (1 - s) * -log p[y] + s * mean(-log p)."""
    net, [batch] = network(), batches([16])
    found = descent(net, smoothing=0.25)
    with torch.no_grad():
        p = copy.deepcopy(net)(CPU.pixels(batch.images)).flatten(1).log_softmax(1)
    found.step(batch, 0.1)
    expected = -(0.75 * p[torch.arange(16), batch.labels] + 0.25 * p.mean(1)).sum()
    torch.testing.assert_close(found.sums[0], expected.double(), rtol=1e-6, atol=0.0)
    assert found.sums[1] == (p.argmax(1) != batch.labels).sum()


def test_a_share_of_the_loss_compares_with_the_teacher():
    net, teacher, [batch] = network(), network().eval(), batches([16])
    with torch.no_grad():
        x = CPU.pixels(batch.images)
        p, q = (each(x).flatten(1).log_softmax(1) for each in (copy.deepcopy(net), teacher))
    found = descent(net, teacher=teacher, distil=0.5)
    found.step(batch, 0.1)
    expected = (functional.nll_loss(p, batch.labels, reduction="sum") + (q.exp() * (q - p)).sum()) / 2
    torch.testing.assert_close(found.sums[0], expected.double(), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("how", [{}, {"optimiser": "adam"}, {"nesterov": True}])
@pytest.mark.parametrize("steps_before", [0, 2])
def test_what_is_learnt_untouched_leaves_no_trace(how, steps_before):
    """At the start, where the optimiser has no state yet, and later."""
    plain, disturbed = descent(network(), **how), descent(network(), **how)
    data = batches([8] * (steps_before + 3))
    for index, batch in enumerate(data):
        for each in (plain, disturbed):
            each.step(batch, 0.05)
        if index + 1 == steps_before:
            before = state(disturbed)
            with disturbed.untouched():
                for other in batches([8] * 3, seed=1):
                    disturbed.step(other, 1.0)
                assert any((a != b).any() for a, b in zip(before, state(disturbed), strict=True))
            assert_same(state(disturbed), before)
    fresh = descent(network(), **how)
    with fresh.untouched():
        for other in batches([8] * 3, seed=1):
            fresh.step(other, 1.0)
    for batch in data:
        fresh.step(batch, 0.05)
    assert_same(state(disturbed), state(plain))
    assert_same(state(fresh), state(plain))


@pytest.mark.parametrize("how", [{}, {"optimiser": "adam"}])
def test_captured_steps_are_the_steps(monkeypatch, how):
    """The lines that capture and replay, with a graph that records what the processor does as it is captured."""
    graphs = []

    class Graph:
        def __init__(self):
            self.replays = 0
            graphs.append(self)

        def replay(self):
            self.replays += 1
            captured.learn(captured._images, captured._labels, len(captured._images))

    class Stream:
        def wait_stream(self, other):
            pass

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    for name in ("graph", "stream"):
        monkeypatch.setattr(torch.cuda, name, lambda it: contextlib.nullcontext())
    plain, captured = descent(network(), **how), descent(network(), **how)
    captured.device = Captures(torch.device("cpu"), False)
    learnt = []
    monkeypatch.setattr(
        captured,
        "learn",
        lambda images, labels, size: (learnt.append(size), Descent.learn(captured, images, labels, size)),
    )
    for rate, batch in zip((0.2, 0.1, 0.05, 0.02, 0.01), batches([3, 8, 8, 3, 8]), strict=True):
        plain.step(batch, rate)
        captured.step(batch, rate)
    assert_same(state(captured), state(plain))
    small, graph = graphs
    assert small.replays == 1, "a run that goes on with an epoch's last batch, which is smaller"
    assert graph.replays == 3, "the last batch of an epoch is learnt by itself"
    assert learnt == [3] * (WARM + 2) + [8] * (WARM + 1) + [8, 8, 3, 8]


def test_steps_around_a_capture_do_not_warn_that_they_are_not_captured():
    with descent_module._unwarned():
        warnings.warn(
            "This instance was constructed with capturable=True or some of its groups", UserWarning, stacklevel=1
        )
    with pytest.warns(UserWarning, match="another"), descent_module._unwarned():
        warnings.warn("another", UserWarning, stacklevel=1)
