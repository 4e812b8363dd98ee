# amaranth: UnusedElaboratable=no
"""A machine behind its host link, from pin to pin: every answer is the network's, whatever comes over the wire."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
from amaranth.back import verilog
from hypothesis import given
from hypothesis import strategies as st
from loads import another
from machines import examples
from noise import Noisy
from sim_nets import KINDS, bits, images

from bitfold.boards.host import TRIES, Link, in_flight, open_port, pixels
from bitfold.boards.protocol import ESCAPE, FLAG, Counts, Decoder, Frame, Kind, Reason
from bitfold.boards.shell.shell import Shell
from bitfold.boards.shell.uart import Pace
from bitfold.hw.accelerator import Accelerator
from bitfold.hw.load import words
from bitfold.hw.planner import balance
from bitfold.model.layers import BinaryConv, Chain, GlobalSum, Requantise
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.sim.virtual import Pins, VirtualBoard, virtual_board

CLOCK, BAUD = 50_000_000, 7_654_321
"""6.5 cycles a bit."""

SMALL = Net(Tensor(3, 2, 2, -8, 7, 2), Chain((BinaryConv(bits(4, 1, 1, 2)), GlobalSum())))
LARGE = Net(Tensor(4, 4, 1, 0, 300, 2), Chain((Requantise(2, -9, 40), BinaryConv(bits(3, 4, 4, 1)))))
MAP = Net(Tensor(4, 5, 2, -8, 7, 2), KINDS["residual"])
SLOW = Net(
    Tensor(4, 4, 1, 0, 255, 4), Chain((BinaryConv(bits(8, 3, 3, 1), 1, (1, 1, 1, 1)), BinaryConv(bits(32, 4, 4, 8))))
)


@contextmanager
def running(net: Net, cycles: int = 1, **changes: object):
    """The shell of a network with the fastest plan of so many cycles or more, and its virtual board."""
    plan = replace(balance(net, cycles), **changes)
    shell = Shell(Accelerator(net, plan), clock=CLOCK, baud=BAUD, board="none")
    text = verilog.convert(shell, name="top", emit_src=False, strip_internal_attrs=True)
    pins = Pins(clock="clk", rx="rx", tx="tx", reset="rst", reset_low=False)
    with virtual_board(text, pins, clock=CLOCK, baud=BAUD, cycles=shell.accelerator.cycles) as board:
        yield shell, board


@pytest.fixture(scope="module")
def small():
    with running(SMALL, 100) as found:
        yield found


def payloads(shell: Shell, x) -> list[bytes]:
    return pixels(shell.identity, x)


NUMBERS = cycle(range(201, 254))


def exchange(board: VirtualBoard, data: bytes) -> list[Frame]:
    """All replies to these bytes, and at last that to a COUNT, which is asked until it comes.

    Its number is none that was asked for lately: the same question may have been asked more often than was waited for.
    """
    number = next(NUMBERS)
    decoder, found, asked = Decoder(), [], Frame(Kind.COUNT, number).encode()
    with open_port(board.port, BAUD) as port:
        port.write(data + bytes((FLAG,)))
        while not found or (found[-1].kind, found[-1].sequence) != (Kind.COUNTS, number):
            got = port.read(max(1, port.in_waiting))
            found += decoder.feed(got)
            if not got:
                port.write(asked)
    assert decoder.damaged == 0
    return found


def reset(board: VirtualBoard) -> None:
    """Begin counting anew, whatever was sent before."""
    assert Frame(Kind.DONE, 254) in exchange(board, Frame(Kind.RESET, 254).encode())


def result(net: Net, shell: Shell, image, sequence: int) -> Frame:
    """The frame that must answer an image."""
    values = net(image[None])[0]
    size = shell.identity.value_bytes
    mask = (1 << 8 * size) - 1
    payload = b"".join((int(value) & mask).to_bytes(size, "little") for value in values.flat)
    return Frame(Kind.RESULT, sequence, payload + int(np.argmax(values[-1, -1])).to_bytes(2, "little"))


IMAGES = images(SMALL, 4)
SENT = st.one_of(
    st.builds(lambda index, number: (Kind.IMAGE, number, index), st.integers(0, 3), st.integers(0, 200)),
    st.builds(lambda kind, number: (kind, number, None), st.sampled_from([1, 2]), st.integers(0, 200)),
    st.builds(lambda kind, number, data: (kind, number, data), st.integers(0, 255), st.integers(0, 200),
              st.binary(max_size=20)).filter(lambda sent: sent[0] != Kind.RESET),
)  # fmt: skip


@given(st.data())
@examples(60)
def test_any_stream_of_bytes_is_answered_as_the_decoder_reads_it(small, data):
    shell, board = small
    wire = bytearray((FLAG,))
    for kind, number, content in data.draw(st.lists(SENT, max_size=6)):
        payload = payloads(shell, IMAGES)[content] if isinstance(content, int) else content or b""
        frame = bytearray(Frame(kind, number, payload).encode())
        match data.draw(st.sampled_from(["whole", "whole", "flipped", "cut", "noise"])):
            case "flipped":
                frame[data.draw(st.integers(1, len(frame) - 2))] ^= data.draw(st.integers(1, 255))
            case "cut":
                del frame[data.draw(st.integers(1, len(frame) - 1)) :]
            case "noise":
                frame += data.draw(st.binary(max_size=20))
        wire += frame
    decoder, expected, counted = Decoder(), [], dict.fromkeys(Reason, 0)
    heard = decoder.feed(bytes(wire) + bytes((FLAG,)))
    by_payload = {payload: index for index, payload in enumerate(payloads(shell, IMAGES))}
    for frame in heard:
        if frame.kind == Kind.IMAGE and frame.payload in by_payload:
            expected.append(result(SMALL, shell, IMAGES[by_payload[frame.payload]], frame.sequence))
        elif frame.kind == Kind.IMAGE and len(frame.payload) == shell.identity.image_bytes:
            expected.append(None)  # noise that makes an image: its CRC would have to be right
        elif frame.kind not in (1, 2, 3, 4):
            counted[Reason.UNKNOWN] += 1
        elif frame.payload or frame.kind == Kind.IMAGE:
            counted[Reason.LENGTH] += 1
    counted[Reason.DAMAGED] = decoder.damaged
    reset(board)
    found = exchange(board, bytes(wire))
    # Results and other replies each keep their order; of the others some may be missing where they came too fast.
    assert [frame for frame in found if frame.kind == Kind.RESULT] == expected
    counts = Counts.unpack(found[-1].payload)
    assert counts.results == len(expected)
    assert [getattr(counts, reason.name.lower()) for reason in Reason] == list(counted.values())
    refused = [frame for frame in found if frame.kind == Kind.REFUSED]
    assert len(refused) <= sum(counted.values())
    for frame in found:
        if frame.kind == Kind.IDENTITY:
            assert frame.payload == shell.identity.pack()


def test_an_image_cut_anywhere_spoils_nothing(small):
    shell, board = small
    whole = [Frame(Kind.IMAGE, number, payload).encode() for number, payload in enumerate(payloads(shell, IMAGES))]
    reset(board)
    for cut in range(1, len(whole[0]) - 1):
        found = exchange(board, whole[0][:cut] + whole[1])
        assert [frame for frame in found if frame.kind == Kind.RESULT] == [result(SMALL, shell, IMAGES[1], 1)]
    for cut in range(7, len(whole[0]) - 1):  # a bit of its payload or its CRC turned
        wire = bytearray(whole[0])
        wire[cut] ^= 1 if wire[cut] not in (ESCAPE, ESCAPE ^ 1, FLAG ^ 1) else 2
        found = exchange(board, bytes(wire) + whole[1])
        assert [frame for frame in found if frame.kind == Kind.RESULT] == [result(SMALL, shell, IMAGES[1], 1)]
    counts = Counts.unpack(found[-1].payload)
    assert counts.short_frames > 0
    assert counts.long_frames > 0


@pytest.mark.parametrize(
    ("net", "changes"),
    [(SMALL, {"output_lanes": 2}), (LARGE, {"output_lanes": 3, "input_pixels": 2}), (LARGE, {}), (MAP, {})],
    ids=["wide words out", "two bytes, two pixels in", "two bytes a sample", "a map"],
)
def test_samples_and_values_of_every_form(net, changes):
    with running(net, 200, **changes) as (shell, board):
        x = images(net, 12)
        with open_port(board.port, BAUD) as port, Link(port, patience=60) as link:
            identity = link.identify()
            assert identity == shell.identity
            answers = sorted(link.classify(identity, pixels(identity, x)), key=lambda answer: answer.index)
            counts = link.counts()
        np.testing.assert_array_equal([answer.values for answer in answers], net(x))
        np.testing.assert_array_equal([answer.best for answer in answers], net(x)[:, -1, -1].argmax(axis=-1))
        assert {answer.tries for answer in answers} == {1}
        assert counts.results == len(x)
        assert counts.damaged + counts.unknown + counts.length + counts.overrun == 0


def test_a_slow_machine_is_not_overrun_by_the_host_and_refuses_who_is_faster():
    with running(SLOW, 10**6) as (shell, board):
        assert shell.identity.cycles / CLOCK > 30 * 10 / BAUD
        x = images(SLOW, 150)
        with open_port(board.port, BAUD) as port, Link(port, patience=60) as link:
            identity = link.identify()
            assert in_flight(identity) == 2
            answers = list(link.classify(identity, pixels(identity, x)))
            assert link.counts().overrun == 0
        np.testing.assert_array_equal([answer.values for answer in answers], SLOW(x))
        sent = payloads(shell, x)
        found = exchange(board, b"".join(Frame(Kind.IMAGE, n % 250, data).encode() for n, data in enumerate(sent)))
        counts = Counts.unpack(found[-1].payload)
        assert counts.overrun > 0
        for frame in found:
            if frame.kind == Kind.RESULT:
                numbers = [n for n in range(len(x)) if n % 250 == frame.sequence]
                assert frame in [result(SLOW, shell, x[n], frame.sequence) for n in numbers]


def test_the_line_sets_the_rate(small):
    """As many images as may be in flight, without a pause: all but the last are answered when the last has come."""
    shell, board = small
    number = shell.identity.in_flight
    payload = payloads(shell, IMAGES)[0]
    wire = b"".join(Frame(Kind.IMAGE, n, payload).encode()[1:] for n in range(number))
    question = Frame(Kind.COUNT, 99).encode()[1:]
    reset(board)
    found = exchange(board, Frame(Kind.RESET, 7).encode() + bytes(40) + bytes((FLAG,)) + wire + question)
    [counts] = [Counts.unpack(frame.payload) for frame in found if frame.sequence == 99]
    assert counts.results >= number - 1
    cycles = 10 * (len(wire) + len(question) + 41) * CLOCK / BAUD
    assert 0.99 * cycles < counts.cycles < 1.01 * cycles + 1000
    assert [frame.sequence for frame in found if frame.kind == Kind.RESULT] == list(range(number))


def test_noise_and_the_reset_button_lose_time_and_no_answer(small):
    _, board = small
    x = images(SMALL, 300, seed=1)
    with open_port(board.port, BAUD) as port, Link(Noisy(port, 0, 0.0005), patience=2) as link:
        identity = link.identify()
        answers = {}
        for answer in link.classify(identity, pixels(identity, x)):
            answers[answer.index] = answer
            if len(answers) == 100:
                board.press_reset()
        assert link.counts().damaged + link.damaged > 0
    assert sum(answer.tries for answer in answers.values()) > len(x)
    np.testing.assert_array_equal([answers[n].values for n in range(len(x))], SMALL(x))


def test_a_board_that_never_answers_an_image_is_given_up(small):
    _, board = small
    with open_port(board.port, BAUD) as port, Link(port, patience=0.5) as link:
        identity = link.identify()
        with pytest.raises(RuntimeError, match=f"^the board gave no answer to image 0, sent {TRIES} times: it refused"):
            list(link.classify(identity, [b"short"]))


def test_the_pace_is_right_within_a_four_thousandth():
    for clock, baud in ((12_000_000, 2_400_000), (100_000_000, 3_000_000), (48_000_000, 9600), (25_000_000, 115_200)):
        pace = Pace(clock, baud)
        assert abs(pace.step * clock / (baud << pace.width) - 1) < 1 / 4096
    with pytest.raises(ValueError, match=r"^3000000 bits a second take a clock of 15000000 Hz at least, not 14999999$"):
        Pace(14_999_999, 3_000_000)


LOADED = Net(
    Tensor(4, 4, 2, 0, 15, 4),
    Chain((BinaryConv(bits(8, 3, 3, 2), 1, (1, 1, 1, 1)), Requantise(2, -8, 7), BinaryConv(bits(5, 4, 4, 8)))),
)


@pytest.fixture(scope="module")
def loaded():
    """A board whose weights are loaded, three networks for it, and their loads."""
    with running(LOADED, 300, weights="loadable") as (shell, board):
        nets = [LOADED, another(LOADED, 1), another(LOADED, 2)]
        yield shell, board, nets, [words(net, shell.accelerator).tobytes() for net in nets]


def test_several_networks_through_one_board(loaded):
    """One after the other, the button pressed in between, and a noisy line."""
    shell, board, nets, loads = loaded
    x = images(LOADED, 100, seed=2)
    with open_port(board.port, BAUD) as port, Link(Noisy(port, 3, 0.0003), patience=2) as link:
        identity = link.identify()
        assert identity == shell.identity
        assert identity.load_words == len(loads[0]) // 4
        for net, load in zip(nets, loads, strict=True):
            link.load(load)
            answers = {}
            for answer in link.classify(identity, pixels(identity, x), load):
                answers[answer.index] = answer
                if len(answers) == 50:
                    board.press_reset()
            np.testing.assert_array_equal([answers[n].values for n in range(len(x))], net(x))
        assert link.counts().unloaded > 0


def test_nothing_is_answered_without_a_load(loaded):
    shell, board, nets, loads = loaded
    image = images(LOADED, 1)[0]
    (payload,) = payloads(shell, image[None])
    reset(board)
    found = exchange(board, Frame(Kind.IMAGE, 3, payload).encode())
    assert Frame(Kind.REFUSED, 3, bytes((Reason.UNLOADED,))) in found
    assert Counts.unpack(found[-1].payload).unloaded == 1
    # An image right behind a load is refused or answered by what was loaded; so is one in front of the next.
    wire = b"".join(
        Frame(Kind.LOAD, 2 * k, load).encode() + Frame(Kind.IMAGE, 2 * k + 1, payload).encode()
        for k, load in enumerate(loads)
    )
    found = exchange(board, wire)
    for k, net in enumerate(nets):
        assert Frame(Kind.LOADED, 2 * k) in found
        answer = next(frame for frame in found if frame.sequence == 2 * k + 1)
        assert answer in (
            Frame(Kind.REFUSED, 2 * k + 1, bytes((Reason.UNLOADED,))),
            result(net, shell, image, 2 * k + 1),
        )


def test_a_hundred_damaged_loads_are_refused(loaded):
    """By the frame's CRC, or by the load's own where the frame is whole; and the board goes on."""
    shell, board, nets, loads = loaded
    image = images(LOADED, 1)[0]
    (payload,) = payloads(shell, image[None])
    question = Frame(Kind.IMAGE, 77, payload).encode()
    rng = np.random.default_rng(0)
    for turn in range(100):
        good, damage = loads[turn % 3], ("flip", "exchange", "other", "wire", "cut", "short")[turn % 6]
        load, place = bytearray(good), int(rng.integers(len(good) - 4))
        if damage == "exchange":
            load[place : place + 4] = load[place : place + 4][::-1]
        if damage == "flip" or load == good:
            load[place] ^= 1 << rng.integers(8)
        if damage == "other":
            load = bytearray(good[:44] + loads[(turn + 1) % 3][44:-4] + good[-4:])
        if damage == "short":
            del load[place // 4 * 4 :][:4]
            load = load[:-4]
        frame = bytearray(Frame(Kind.LOAD, 9, bytes(load)).encode())
        if damage == "wire":
            frame = bytearray(Frame(Kind.LOAD, 9, good).encode())
            frame[20] ^= 0x01 if frame[20] ^ 0x01 not in (FLAG, ESCAPE) else 0x04
        if damage == "cut":
            frame = frame[: int(rng.integers(20, len(frame) - 1))]
        if turn % 2:  # also where another network is loaded
            assert Frame(Kind.LOADED, 8) in exchange(board, Frame(Kind.LOAD, 8, good).encode())
        found = exchange(board, bytes(frame) + question)
        assert Frame(Kind.LOADED, 9) not in found, damage
        reasons = [frame.payload[0] for frame in found if frame.kind == Kind.REFUSED]
        wanted = {"wire": Reason.DAMAGED, "cut": Reason.DAMAGED, "short": Reason.LENGTH}.get(damage, Reason.LOAD)
        assert wanted in reasons, damage
        results = [frame for frame in found if frame.kind == Kind.RESULT]
        if damage == "short" and turn % 2:  # its length is wrong before anything is loaded
            assert results == [result(nets[turn % 3], shell, image, 77)]
        else:
            assert results == [], damage
            assert Reason.UNLOADED in reasons, damage
    assert Frame(Kind.LOADED, 8) in exchange(board, Frame(Kind.LOAD, 8, loads[0]).encode())
    assert result(nets[0], shell, image, 77) in exchange(board, question)
