"""Where training runs: what can be asked for, and what a process sets up and leaves behind."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import distributed  # noqa: E402

from bitfold.model.error import BadInput  # noqa: E402
from bitfold.model.train import device as module  # noqa: E402
from bitfold.model.train.device import Device, open_device  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    yield
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(False)


def test_the_processor():
    with open_device("cpu", 2, None) as device:
        assert device.torch == torch.device("cpu")
        assert torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled()
        assert (device.rank, device.world) == (0, 1)
        assert device.name.endswith(f", 2 threads, {'bfloat16' if device.bf16 else 'float32'}")


def test_bfloat16_is_taken_where_the_processor_is_faster_with_it(monkeypatch):
    intel, amd = "vendor_id : GenuineIntel\n", "vendor_id : AuthenticAMD\n"
    for flags, has in (
        (f"{amd}flags : avx512f", False),
        (f"{amd}flags : avx512f avx512_bf16", True),
        (f"{intel}flags : avx512f avx512_bf16", False),
        (f"{intel}flags : avx512f avx512_bf16 amx_bf16 amx_tile", True),
        ("", False),
    ):
        monkeypatch.setattr(module, "_cpuinfo", lambda flags=flags: flags)
        for asked in (None, False, True):
            with open_device("cpu", 1, asked) as device:
                assert device.bf16 == (has if asked is None else asked)


def test_the_name_is_the_processors(monkeypatch):
    monkeypatch.setattr(module, "_cpuinfo", lambda: "x : 1\nmodel name\t: Abacus 9\nmodel name\t: Abacus 9\n")
    assert Device(torch.device("cpu"), True, 0, 3).name.startswith("Abacus 9, ")
    assert Device(torch.device("cpu"), True, 0, 3).name.endswith(", 3 of them, bfloat16")
    monkeypatch.setattr(module, "_cpuinfo", lambda: "")
    assert Device(torch.device("cpu"), False).name.startswith("CPU, ")


def test_autocast_only_with_bfloat16():
    x = torch.ones(1, 1, 3, 3)
    for bf16, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        with Device(torch.device("cpu"), bf16).autocast():
            assert torch.nn.functional.conv2d(x, x).dtype == dtype


def test_pixels_move_their_channels_and_stay_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5), np.uint8)
    pixels = Device(torch.device("cpu"), True).pixels(torch.from_numpy(images))
    assert pixels.dtype == torch.float32
    np.testing.assert_array_equal(pixels.numpy(), images.transpose(0, 3, 1, 2))
    assert pixels.is_contiguous(memory_format=torch.channels_last)


def test_one_process_agrees_with_itself():
    device = Device(torch.device("cpu"), False)
    values = torch.tensor([1.0, 2.0])
    assert device.total(values).tolist() == [1, 2]
    assert device.agree({"a": 1}) == {"a": 1}


def test_what_cannot_be_had_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for kind, message in (
        ("tpu", "the device is auto, cpu or cuda, not 'tpu'"),
        ("cuda", "torch finds no CUDA device; leave --device away to train on the processor"),
    ):
        with pytest.raises(BadInput) as caught, open_device(kind, 1, None):
            pass
        assert str(caught.value) == message
    with open_device("auto", 1, None) as device:
        assert device.torch.type == "cpu"


def test_the_launchers_group_is_left_even_after_a_failure(monkeypatch, tmp_path):
    """World size 2 needs a second process; a group of one stands for it."""
    calls = []
    monkeypatch.setattr(distributed, "init_process_group", lambda backend, timeout: calls.append(backend))
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: calls.append("left"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    said = (
        "LOCAL_RANK is None, LOCAL_WORLD_SIZE is None: start several processes with torchrun, or unset these variables"
    )
    with pytest.raises(BadInput, match=said), open_device("cpu", 1, False):
        pass
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")

    def fail():
        with open_device("cpu", 1, False) as device:
            assert (device.rank, device.world) == (1, 2)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert calls == ["gloo", "left"]
