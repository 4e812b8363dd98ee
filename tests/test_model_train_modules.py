"""Every training module by itself: values, gradients, and what batch normalisation becomes."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from bitfold.model.layers import Requantise  # noqa: E402
from bitfold.model.train import modules  # noqa: E402
from bitfold.model.train.modules import Conv2d, Head, Norm  # noqa: E402

torch.set_num_threads(1)  # two would wait for each other beside other tests


def values(*shape, seed=0, spread=1.0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * spread


@pytest.mark.parametrize("scale", [1.0, 0.25, 0.3])
def test_the_sign_has_the_gradient_of_the_identity(scale):
    x = torch.tensor([-2.0, -0.0, 0.0, 1e-30, 7.0], requires_grad=True)
    y = modules.binarise(x, scale)
    assert y.tolist() == torch.tensor([-scale, scale, scale, scale, scale]).tolist()
    y.backward(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert x.grad.tolist() == [1, 2, 3, 4, 5]  # neither clipped nor scaled


@pytest.mark.parametrize("frac", [-1, 0, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coding_rounds_as_requantise_does(frac, dtype):
    """Every multiple of a quarter code, negative ties too, and beyond both ends."""
    lo, hi, shift = -5, 9, 2
    q = np.arange(-40, 60)
    expected = Requantise(shift, lo, hi)(q.reshape(1, 1, 1, -1)).ravel()
    real = torch.from_numpy(q).to(dtype) * 2.0 ** -(frac + shift)
    assert (modules.encode(real, frac, lo, hi) * 2.0**frac).tolist() == expected.tolist()
    ties = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5]) * 2.0**-frac
    assert (modules.encode(ties, frac, lo, hi) * 2.0**frac).tolist() == [-2, -1, 0, 1, 2]


def test_coding_in_bfloat16_rounds_before_it_narrows():
    """127.5 + 0.5 has no room in bfloat16; 254.5 rounds up to 255."""
    x = torch.tensor([127.0, 127.5, 63.25, 63.75]).bfloat16()
    y = modules.encode(x, 0, -256, 255)
    assert y.dtype == torch.bfloat16
    assert y.tolist() == [127, 128, 63, 64]


def test_a_sign_is_that_of_the_normalised_value():
    """Floats are clipped, signs are not 0, and the gradient passes where the normalised value is in (-1, 1)."""
    x = torch.tensor([-3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0], requires_grad=True)
    norm = modules.Norm(1, "mean")
    norm.mean += 0.5
    sign = modules.Sign(norm).eval()
    maps = x.reshape(-1, 1, 1, 1)
    assert sign(maps).flatten().tolist() == [-1, -1, -1, -0.5, -0.5, 0, 0.5, 1]
    sign.quantised = True
    assert sign(maps).flatten().tolist() == [-1, -1, -1, -1, -1, 1, 1, 1]
    y = sign.encode(maps)
    assert y.flatten().tolist() == [-1, -1, -1, 1, 1, 1, 1, 1]
    y.sum().backward()
    assert x.grad.tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    assert torch.equal(sign.bfloat16().encode(maps.bfloat16()), y.bfloat16())


def test_a_padded_pixel_behind_a_sign_is_minus_one():
    conv = modules.Conv2d(1, 1, 3, padding=(1, 1, 1, 1), around=-1)
    conv.weight.data.fill_(1)
    ones = conv(torch.ones(1, 1, 3, 3)) / 2.0**-conv.shift
    assert ones.flatten().tolist() == [-1, 3, -1, 3, 9, 3, -1, 3, -1]


def test_the_gradient_of_coding_passes_where_nothing_was_clipped():
    x = torch.tensor([-1.26, -1.25, -0.6, 0.1, 2.74, 2.75, 9.0], requires_grad=True)
    y = modules.encode(x, 1, -2, 5)
    y.backward(torch.arange(1.0, 8.0))
    assert y.tolist() == [-1, -1, -0.5, 0, 2.5, 2.5, 2.5]
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 0, 0]


def test_the_shifted_relu():
    x = torch.tensor([-3.0, -1.0, 0.3, 6.5, 9.0], requires_grad=True)
    assert modules.ShiftedReLU()(x).tolist() == [-1.0, -1.0, x[2].item(), 6.5, 9.0]
    coded = modules.ShiftedReLU(bits=4, frac=1, quantised=True)
    assert (coded.lo, coded.hi) == (-2, 13)
    assert coded(x).tolist() == [-1, -1, 0.5, 6.5, 6.5]
    modules.ShiftedReLU()(x).sum().backward()
    assert x.grad.tolist() == [0, 0, 1, 1, 1]


def test_the_relu():
    x = torch.tensor([-3.0, -0.2, 0.3, 7.5, 9.0])
    assert modules.ReLU()(x).tolist() == [0, 0, x[2].item(), 7.5, 9]
    coded = modules.ReLU(bits=4, frac=1, quantised=True)
    assert (coded.lo, coded.hi) == (0, 15)
    assert coded(x).tolist() == [0, 0, 0.5, 7.5, 7.5]


def test_the_elu():
    y = modules.ELU()(torch.tensor([-1.0, 2.0]))
    assert y[0].item() == pytest.approx(math.exp(-1) - 1)
    assert y[1].item() == 2


def test_an_elu_of_codes():
    """The code is rounded, then its ELU; the gradient is that of the ELU where no code was clipped."""
    x = torch.tensor([-9.0, -1.6, -0.9, -0.1, 0.3, 2.8, 9.0], requires_grad=True)
    coded = modules.ELU(bits=4, frac=1, quantised=True)
    assert (coded.lo, coded.hi) == (-3, 12)
    y = coded(x)
    assert y.tolist() == [-1, -1, -0.5, 0, 0.5, 3, 6]
    assert coded.table().tolist() == [-2, -1, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    y.sum().backward()
    assert x.grad[1:6].tolist() == pytest.approx([math.exp(-1.5), math.exp(-1.0), 1, 1, 1])
    assert x.grad[[0, 6]].tolist() == [0, 0]
    assert coded(x.bfloat16()).tolist() == y.tolist()


def test_an_elus_codes_begin_where_it_ends():
    """At the highest whose ELU is -1; where that were more than half of the codes, at half."""
    for bits in range(2, 9):
        for frac in range(bits):
            elu = modules.ELU(bits, frac)
            first, second = elu.table()[:2].tolist()
            assert (first == -(2**frac) < second) or elu.lo == -(2 ** (bits - 1))
    assert [modules.ELU(8, frac).lo for frac in range(8)] == [-1, -3, -9, -23, -56, -128, -128, -128]


def test_a_format_travels_in_the_state():
    one, other = modules.ShiftedReLU(bits=3, frac=2, quantised=True), modules.ShiftedReLU()
    other.load_state_dict(one.state_dict())
    assert (other.bits, other.frac, other.quantised) == (3, 2, True)


@pytest.mark.parametrize("fan_in", [2, 9, 16, 65, 144, 576, 2304])
def test_the_scale_of_the_weights(fan_in):
    """Nearest to sqrt(2 / fan-in) by ratio, or that to ten bits; the latent weights start with its deviation."""
    best = math.sqrt(2 / fan_in)
    x = torch.ones(1, fan_in, 1, 1)
    for exact in (False, True):
        conv = Conv2d(fan_in, 5, kernel=1, exact=exact)
        nn.init.constant_(conv.weight, 1e-9)
        scale = conv(x).flatten()[0].item() / fan_in
        if exact:
            assert scale == pytest.approx(best, rel=2**-10)
            assert scale == conv.factor * 2.0 ** -(conv.shift + conv.fine)
            assert 2**9 < conv.factor <= 2**11
        else:
            assert math.log2(scale) == -conv.shift
            assert abs(math.log2(scale / best)) <= 0.5 + 1e-9
            assert conv.factor == 1


def test_a_convolution_is_torchs_with_signs():
    torch.manual_seed(3)
    conv = Conv2d(3, 4, stride=2, padding=(1, 0, 2, 1), divide=2)
    x = values(2, 3, 6, 5)
    padded = functional.pad(x, (2, 1, 1, 0))
    weight = torch.where(conv.weight >= 0, 1.0, -1.0) * 2.0 ** -(conv.shift + 2)
    torch.testing.assert_close(conv(x), functional.conv2d(padded, weight, stride=2))
    conv(x).sum().backward()
    assert conv.weight.grad.abs().min() > 0


def test_weights_of_32_bits_are_taken_as_they_are():
    torch.manual_seed(3)
    conv = Conv2d(3, 4, padding=(1, 1, 1, 1), bits=32, exact=True, divide=1)
    x = values(2, 3, 6, 5)
    torch.testing.assert_close(conv(x), functional.conv2d(x, conv.weight / 2, padding=1))
    assert Conv2d(64, 200, bits=32).weight.std().item() == pytest.approx(math.sqrt(2 / 576), rel=0.02)


@pytest.mark.parametrize("kind", ["batch", "batch-plain"])
def test_batch_normalisation_is_torchs(kind):
    norm, theirs = Norm(3, kind), nn.BatchNorm2d(3, affine=kind == "batch")
    if kind == "batch":
        for mine, its in ((norm.gamma, theirs.weight), (norm.beta, theirs.bias)):
            mine.data = values(3, seed=5)
            its.data = mine.data.clone()
    for step in range(3):
        x = values(4, 3, 5, 6, seed=step, spread=3) + 2
        torch.testing.assert_close(norm(x), theirs(x))
    torch.testing.assert_close(norm.mean, theirs.running_mean)
    torch.testing.assert_close(norm.variance, theirs.running_var)
    torch.testing.assert_close(norm.eval()(x), theirs.eval()(x), rtol=1e-5, atol=1e-5)


def test_only_the_mean_is_subtracted():
    norm = Norm(3, "mean")
    x = values(4, 3, 5, 6, spread=3) + 2
    mean = x.mean((0, 2, 3))
    torch.testing.assert_close(norm(x), x - mean.reshape(1, 3, 1, 1))
    torch.testing.assert_close(norm.mean, 0.1 * mean)
    norm.mean = mean
    torch.testing.assert_close(norm.eval()(x), x - mean.reshape(1, 3, 1, 1))
    assert list(norm.parameters()) == []
    x.requires_grad_(True)
    (norm.train()(x) * values(4, 3, 5, 6, seed=1)).sum().backward()
    assert x.grad.mean((0, 2, 3)).abs().max() < 1e-6  # the mean's gradient too


@pytest.mark.parametrize("kind", ["batch", "mean"])
def test_after_a_reset_every_batch_counts_as_much(kind):
    norm = Norm(2, kind)
    norm(values(4, 2, 3, 3) + 50)
    norm.reset()
    batches = [values(4, 2, 3, 3, seed=seed) + seed for seed in range(5)]
    for batch in batches:
        norm(batch)
    mean = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
    torch.testing.assert_close(norm.mean, mean)
    if kind == "batch":
        variance = torch.stack([batch.transpose(0, 1).flatten(1).var(1) for batch in batches]).mean(0)
        torch.testing.assert_close(norm.variance, variance)


@pytest.mark.parametrize("bits", [10, 20])
def test_a_quantised_normalisation_stays_near_and_on_its_grid(bits):
    norm = Norm(4, "batch").eval()
    norm.gamma.data = torch.tensor([1.7, -0.3, 0.0, 0.01])
    norm.beta.data, norm.mean, norm.variance = values(4, seed=1), values(4, seed=2), values(4, seed=3) ** 2
    exact, shift = norm.affine(0.75)
    norm.quantised, norm.factor_bits = True, bits
    factor, offset = norm.affine(0.75)
    grid = 2.0 ** norm.frac(exact)
    for rounded, was in ((factor, exact), (offset, shift)):
        assert torch.equal(rounded * grid, (was * grid).round())
    assert 2 ** (bits - 1) <= (factor * grid).abs().max() <= 2**bits
    x = values(2, 4, 3, 3).double()
    assert torch.equal(norm(x), x * factor.reshape(1, 4, 1, 1) + norm.affine()[1].reshape(1, 4, 1, 1))


def test_the_stream_rounds_and_saturates_in_eval_mode_only():
    stream = modules.Stream(bits=4, frac=1, quantised=True)
    x = torch.tensor([-9.0, -0.25, 0.25, 3.4, 3.6])
    assert stream(x).tolist() == x.tolist()
    assert stream.eval()(x).tolist() == [-4, 0, 0.5, 3.5, 3.5]
    assert stream.add(torch.tensor(3.0), torch.tensor(2.0)).item() == 3.5
    stream.quantised = False
    assert stream(x).tolist() == x.tolist()


@pytest.mark.parametrize(("height", "width"), [(4, 6), (5, 3), (1, 1)])
def test_a_downsampling_skip(height, width):
    x = values(2, 3, height, width)
    y = modules.Downsample(2, modules.Stream())(x)
    even = torch.zeros(2, 3, height + height % 2, width + width % 2)
    even[:, :, :height, :width] = x
    assert y.shape == (2, 5, even.shape[2] // 2, even.shape[3] // 2)
    mean = (even[:, :, ::2, ::2] + even[:, :, 1::2, ::2] + even[:, :, ::2, 1::2] + even[:, :, 1::2, 1::2]) / 4
    torch.testing.assert_close(y[:, :3], mean)
    assert not y[:, 3:].any()


@pytest.mark.parametrize("kind", [None, "batch", "batch-plain", "mean"])
def test_the_head_may_pool_first(kind):
    """With the batch's own statistics, eval mode's order gives train mode's logits: all of it is linear."""
    torch.manual_seed(4)
    positions, divide = 5 * 7, 3  # the mean over 35 positions is no power of two
    norm = None if kind is None else Norm(10, kind)
    head = Head(Conv2d(6, 10, kernel=1, exact=True), norm, positions, divide)
    if kind == "batch":
        norm.gamma.data, norm.beta.data = values(10, seed=1), values(10, seed=2)
    x = values(8, 6, 5, 7, spread=2) + 1
    logits = head(x)
    maps = head.conv(x)
    if norm is not None:
        norm.mean = maps.detach().mean((0, 2, 3))
        norm.variance = maps.detach().var((0, 2, 3), unbiased=False)
    assert logits.shape == (8, 10, 1, 1)
    torch.testing.assert_close(head.eval()(x), logits, rtol=1e-4, atol=1e-3)
    if norm is None:
        torch.testing.assert_close(logits, maps.sum((2, 3), keepdim=True) / 8, rtol=1e-4, atol=1e-3)
