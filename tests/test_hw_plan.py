# amaranth: UnusedElaboratable=no
"""Plans: their file, their checks, and the balancer against brute force."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import examples, plans
from strategies import nets, random_weights

from bitfold.hw.device.target import FAMILIES, TARGETS
from bitfold.hw.plan import Folding, Plan, divisors
from bitfold.hw.stream.flow import Flow
from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Chain, Requantise, SumPool
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

SMALL = Net(
    Tensor(4, 4, 2, 0, 3),
    Chain(
        (
            BinaryConv(random_weights((6, 3, 3, 2), 1), 1, (1, 1, 1, 1)),
            Requantise(1, -8, 7),
            SumPool(2, 2),
            BinaryConv(random_weights((4, 1, 1, 6), 1)),
        )
    ),
)
TEXT = """\
bitfold_plan = 1
target = "generic"
output_lanes = 2
input_pixels = 1

[layers]
"0" = { pe = 3, simd = 2 }
"2" = { pe = 6, simd = 1 }
"3" = { pe = 1, simd = 3 }
"""
PLAN = Plan({"0": Folding(3, 2), "2": Folding(6), "3": Folding(1, 3)}, 2)


def test_plan_is_readable_text_that_comes_back(tmp_path):
    assert PLAN.dumps() == TEXT
    PLAN.save(tmp_path / "plan.toml")
    assert Plan.load(tmp_path / "plan.toml") == PLAN
    PLAN.check(SMALL)
    assert PLAN.lanes(SMALL) == 3 * 2 + 1 * 3


def test_every_field_comes_back_and_notes_are_comments(tmp_path):
    plan = Plan({"0": Folding(6, 18, 2), "a.b": Folding(4, 6, 1, True, 2, 3)}, 4, 2, "ecp5-85")
    assert plan.dumps({"0": "the first"}).splitlines()[-2:] == [
        '"0" = { pe = 6, simd = 18, pixels = 2 }                         # the first',
        '"a.b" = { pe = 4, simd = 6, wired = true, out = 2, turns = 3 }',
    ]
    plan.save(tmp_path / "plan.toml", {"0": "the first"})
    assert Plan.load(tmp_path / "plan.toml") == plan


def test_lanes_count_the_windows_of_a_step():
    assert Folding(6, 18, 4).lanes() == 432
    assert Folding(6, 18, 4).lanes(stride=2) == 216
    assert Folding(6, 18, 1).lanes(stride=2) == 108


def test_utilisation_is_the_share_of_the_lanes_that_multiply():
    macs = 16 * 6 * 18 + 4 * 4 * 6
    assert PLAN.utilisation(SMALL, 1000) == macs / (9 * 1000)


@given(data=st.data())
@examples(40)
def test_any_plan_comes_back(tmp_path_factory, data):
    net = data.draw(nets())
    plan = data.draw(plans(net))
    path = tmp_path_factory.getbasetemp() / "plan.toml"
    plan.save(path)
    again = Plan.load(path)
    assert (dict(again.foldings), again.output_lanes) == (dict(plan.foldings), plan.output_lanes)
    again.check(net)


def test_a_hand_edited_plan_may_leave_out_output_lanes_and_carry_comments(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text('bitfold_plan = 1 # mine\n[layers]\n"0" = {simd = 1, pe = 2}\n[layers.2]\npe = 1\nsimd = 1\n')
    assert Plan.load(path) == Plan({"0": Folding(2, 1), "2": Folding(1, 1)}, 1)


ENTRY = (
    'layer "0" must be { pe = number, simd = number }, and may have pixels = number, wired = true, out = number, '
    "turns = number"
)
KEYS = (
    "'speed' is unknown; a plan has bitfold_plan, target, output_lanes, input_pixels, input_lanes, block_luts, "
    "weights, protect and [layers]"
)
LAYERS = "[layers] is missing, below which each layer has its line"
READ = "not a readable plan: "
SYNTAX = READ + "Expected ']' at the end of a table declaration (at line 2, column 8)"
DEVICES = ", ".join(["generic", *TARGETS])
BAD_FILES = {
    "bitfold_plan = 1\n[layers\n": SYNTAX,
    "bitfold_plan = true\n[layers]\n": "bitfold_plan = True; this bitfold reads version 1",
    "bitfold_plan = 0x" + "f" * 9000: "bitfold_plan = a number of thousands of digits; this bitfold reads version 1",
    "bitfold_plan = 2\n[layers]\n": "bitfold_plan = 2; this bitfold reads version 1",
    "bitfold_plan = 1\n": LAYERS,
    "bitfold_plan = 1\nspeed = 3\n[layers]\n": KEYS,
    "bitfold_plan = 1\nlayers = 3\n": LAYERS,
    'bitfold_plan = 1\noutput_lanes = "2"\n[layers]\n': "output_lanes must be a number, not '2'",
    "bitfold_plan = 1\noutput_lanes = true\n[layers]\n": "output_lanes must be a number, not True",
    "bitfold_plan = 1\ninput_pixels = 1.0\n[layers]\n": "input_pixels must be a number, not 1.0",
    "bitfold_plan = 1\ninput_pixels = 4294967296\n[layers]\n": "input_pixels must be a number, not 4294967296",
    "bitfold_plan = 1\nx = " + "9" * 5000: f"{READ}a number in it has thousands of digits",
    "bitfold_plan = 1\nx = " + "[" * 5000 + "]" * 5000: f"{READ}too many brackets within each other",
    "bitfold_plan = 1\nbitfold_plan = 1\n": f"{READ}Cannot overwrite a value (at line 2, column 17)",
    'bitfold_plan = 1\n[layers]\n"0" = { pe = 0x' + "f" * 5000 + ", simd = 1 }\n": ENTRY,
    'bitfold_plan = 1\n[layers]\n"\\u001b[31m\\n\\u202e" = 3\n': ENTRY.replace("0", "\\x1b[31m\\n\\u202e"),
    'bitfold_plan = 1\ntarget = "abacus"\n[layers]\n': f"target = 'abacus' is not known; there are {DEVICES}",
    "bitfold_plan = 1\ntarget = 3\n[layers]\n": f"target = 3 is not known; there are {DEVICES}",
    'bitfold_plan = 1\n[layers]\n"0" = 3\n': ENTRY,
    'bitfold_plan = 1\n[layers]\n"0" = { pe = 1, simd = 1, wired = 1 }\n': ENTRY,
    'bitfold_plan = 1\n[layers]\n"0" = { pe = 1, simd = 1, pixels = true }\n': ENTRY,
    'bitfold_plan = 1\n[layers]\n"0" = { pe = 1 }\n': ENTRY,
    'bitfold_plan = 1\n[layers]\n"0" = { pe = 1, simd = 1.5 }\n': ENTRY,
    'bitfold_plan = 1\n[layers]\n"0" = { pe = 1, simd = true }\n': ENTRY,
    'bitfold_plan = 1\n[layers]\n"0" = { pe = 1, simd = 1, x = 1 }\n': ENTRY,
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_load_says_what_is_wrong(text, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=f"^{re.escape(f'{path}: {BAD_FILES[text]}')}$"):
        Plan.load(path)


def test_load_says_what_cannot_be_read(tmp_path):
    path = tmp_path / "plan.toml"
    for content, says in (
        (None, "cannot be read: No such file or directory; check the path"),
        (b"", "is not a plan, which has a line bitfold_plan = 1; check the path"),
        (b"\xff\xfe", "is not a plan: no UTF-8 text from byte 0 on; check the path"),
        (b"\x93NUMPY\x01\x00", "is not a plan but a NumPy array, such as images; check the path"),
        (bytes(2**24 + 1), "has more than 16,777,216 bytes, which a plan never has; check the path"),
    ):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BadInput) as error:
            Plan.load(path)
        assert str(error.value) == f"{path} {says}"
    for place in (tmp_path, "/dev/zero"):
        with pytest.raises(BadInput, match=f"^{place} is not a regular file; give the path of a plan$"):
            Plan.load(place)


BAD_PLANS = [
    ({"2": Folding(6), "3": Folding(1, 3)}, 2, 'the plan has no line for layer "0" (BinaryConv)'),
    ({"0": Folding(3, 2), "3": Folding(1, 3)}, 2, 'the plan has no line for layer "2" (SumPool)'),
    ({**PLAN.foldings, "0": Folding(4, 2)}, 2, 'the plan\'s layer "0": pe = 4 must divide its 6 output channels'),
    ({**PLAN.foldings, "0": Folding(0, 2)}, 2, 'the plan\'s layer "0": pe = 0 must divide its 6 output channels'),
    ({**PLAN.foldings, "3": Folding(4, 4)}, 2, 'the plan\'s layer "3": simd = 4 must divide its 6 input channels'),
    ({**PLAN.foldings, "3": Folding(4, -1)}, 2, 'the plan\'s layer "3": simd = -1 must divide its 6 input channels'),
    (
        {**PLAN.foldings, "0": Folding(3, 8)},
        2,
        'the plan\'s layer "0": simd = 8 must divide its 2 input channels, or be 2 times a divisor of '
        "the kernel's area 9",
    ),
    (
        {**PLAN.foldings, "2": Folding(6, 2)},
        2,
        'the plan\'s layer "2": simd = 2 of a pool must be 1 or its area 4',
    ),
    (
        {**PLAN.foldings, "2": Folding(6, 3)},
        2,
        'the plan\'s layer "2": simd = 3 of a pool must be 1 or its area 4',
    ),
    (
        {**PLAN.foldings, "2": Folding(6, 4, 3)},
        2,
        "the plan's layer \"2\": pixels = 3 must divide the map's width 4; simd <= 1 and pixels = 1 suit every map",
    ),
    (
        {**PLAN.foldings, "2": Folding(6, 1, out=4)},
        2,
        'the plan\'s layer "2": out = 4 must divide its pe = 6, or be left out',
    ),
    (
        {**PLAN.foldings, "2": Folding(6, 1, out=-1)},
        2,
        'the plan\'s layer "2": out = -1 must divide its pe = 6, or be left out',
    ),
    (
        {**PLAN.foldings, "0": Folding(3, 2, turns=3)},
        2,
        "the plan's layer \"0\": turns = 3 must divide the output's width 4",
    ),
    (
        {**PLAN.foldings, "0": Folding(3, 2, turns=0)},
        2,
        "the plan's layer \"0\": turns = 0 must divide the output's width 4",
    ),
    (
        {**PLAN.foldings, "0": Folding(3, 6, turns=2)},
        2,
        'the plan\'s layer "0": turns = 2 needs simd <= 2, pixels = 1 and no wired = true',
    ),
    (
        {**PLAN.foldings, "2": Folding(6, turns=2)},
        2,
        'the plan\'s layer "2": turns = 2 is for convolutions: a pool has no weights',
    ),
    (
        {**PLAN.foldings, "3": Folding(4, 6, turns=2)},
        2,
        'the plan\'s layer "3": turns = 2 needs more than one word of weights',
    ),
    ({**PLAN.foldings, "2": Folding(6, 1, 1, True)}, 2, 'the plan\'s layer "2": a pool has no weights to be wired'),
    ({**PLAN.foldings, "0": Folding(3, 18, 2)}, 2, 'the plan\'s layer "0": pixels = 2 needs pe = 6 and simd = 18'),
    (
        {**PLAN.foldings, "0": Folding(6, 2, 1, True)},
        2,
        'the plan\'s layer "0": wired = true needs pe = 6 and simd = 18',
    ),
    ({**PLAN.foldings, "0": Folding(6, 18, 0)}, 2, 'the plan\'s layer "0": pixels = 0 must be at least 1'),
    (
        {**PLAN.foldings, "1": Folding(1)},
        2,
        'the plan names layer "1", which this network does not fold; it folds 0, 2, 3',
    ),
    (PLAN.foldings, 3, "the plan's output_lanes = 3 must divide the output's 4 channels"),
    (PLAN.foldings, 0, "the plan's output_lanes = 0 must divide the output's 4 channels"),
]


@pytest.mark.parametrize(("foldings", "lanes", "message"), BAD_PLANS, ids=[bad[2] for bad in BAD_PLANS])
def test_check_says_what_does_not_fit(foldings, lanes, message):
    with pytest.raises(BadInput, match=f"^{re.escape(message)}$"):
        Plan(foldings, lanes).check(SMALL)


def one(t, layer, folding):
    """The plan of a network of one layer."""
    Plan({"0": folding}).check(Net(t, Chain((layer,))))


BAD_SLIDES = [
    (
        Tensor(4, 6, 1, 0, 3),
        SumPool(4, 2),
        Folding(1, 16, 6),
        "pixels = 6 complete 3 windows at once, which must divide the output's width 2",
    ),
    (Tensor(4, 6, 1, 0, 3), SumPool(2, 2), Folding(1, 4, 3), "pixels = 3 must be a multiple of the stride 2"),
    (
        Tensor(1, 4, 1, 0, 3),
        SumPool(3, 1, (1, 1, 1, 1)),
        Folding(1, 9),
        "with padding (1, 1, 1, 1) the map is too small to slide over",
    ),
    (
        Tensor(4, 4, 2, 0, 3),
        BinaryConv(random_weights((1, 3, 3, 2), 1), 1, (2, 2, 2, 2)),
        Folding(1, 6),
        "with padding (2, 2, 2, 2) the map is too small to slide over",
    ),
]


@pytest.mark.parametrize(("t", "layer", "folding", "message"), BAD_SLIDES, ids=[bad[3] for bad in BAD_SLIDES])
def test_check_says_why_a_window_cannot_slide(t, layer, folding, message):
    with pytest.raises(
        BadInput,
        match=f'^the plan\'s layer "0": {re.escape(message)}; simd <= {t.channels} and pixels = 1 suit every map$',
    ):
        one(t, layer, folding)


def test_input_pixels_divide_the_width():
    message = "the plan's input_pixels = 3 must divide the input's width 4"
    with pytest.raises(BadInput, match=f"^{re.escape(message)}$"):
        Plan(PLAN.foldings, 2, 3).check(SMALL)


def test_parts_of_a_pixel_come_back(tmp_path):
    plan = Plan(PLAN.foldings, 2, input_lanes=1)
    assert plan.dumps().splitlines()[2:5] == ["output_lanes = 2", "input_pixels = 1", "input_lanes = 1"]
    plan.save(tmp_path / "plan.toml")
    assert Plan.load(tmp_path / "plan.toml") == plan
    plan.check(SMALL)
    assert plan.source(SMALL.input) == Flow(SMALL.input, 1)
    assert PLAN.source(SMALL.input) == Flow(SMALL.input, 2)


def wide(lo, hi):
    """A network of one layer on vectors of 4,500 channels."""
    return Net(Tensor(1, 2, 4500, lo, hi), Chain((Requantise(0, -8, 7),)))


BAD_BEATS = {
    "the plan's input_lanes = 3 must divide the input's 2 channels": (SMALL, Plan(PLAN.foldings, 2, input_lanes=3)),
    "the plan's input_lanes = 0 must divide the input's 2 channels": (SMALL, Plan(PLAN.foldings, 2, input_lanes=0)),
    "the plan has input_lanes = 2 and input_pixels = 2; a beat is a part of a pixel or whole pixels: leave one of them "
    "out": (SMALL, Plan(PLAN.foldings, 2, 2, input_lanes=2)),
    "the plan's beat of 4,500 input values has 36,000 bits; AXI4-Stream tools take at most 4,096: ask for "
    "input_lanes = 500": (wide(0, 255), Plan({})),
    "the plan's beat of 9,000 input values has 144,000 bits; AXI4-Stream tools take at most 4,096: ask for "
    "input_lanes = 250": (wide(-300, 255), Plan({}, input_pixels=2)),
    "the plan's beat of 750 output values has 6,000 bits; AXI4-Stream tools take at most 4,096: ask for "
    "output_lanes = 500": (wide(0, 255), Plan({}, 750, input_lanes=500)),
    "the plan's beat of 1,000 input values has 8,000 bits; AXI4-Stream tools take at most 4,096: ask for fewer "
    "input_pixels": (Net(Tensor(1, 1000, 1, 0, 255), Chain()), Plan({}, input_pixels=1000)),
}


@pytest.mark.parametrize("message", BAD_BEATS)
def test_check_says_what_is_wrong_with_a_beat(message):
    net, plan = BAD_BEATS[message]
    with pytest.raises(BadInput, match=f"^{re.escape(message)}$"):
        plan.check(net)


def test_divisors_ascend():
    assert divisors(1) == [1]
    assert divisors(12) == [1, 2, 3, 4, 6, 12]


def test_plans_cannot_be_changed():
    with pytest.raises(TypeError):
        PLAN.foldings["0"] = Folding(1)
    source = {"0": Folding(1)}
    plan = Plan(source)
    source["0"] = Folding(2)
    assert plan.foldings["0"] == Folding(1)


def test_loadable_weights_are_a_line_of_the_plan(tmp_path):
    plan = Plan({"0": Folding(1, 1)}, weights="loadable")
    plan.save(tmp_path / "plan.toml")
    assert 'weights = "loadable"\n' in plan.dumps()
    assert Plan.load(tmp_path / "plan.toml") == plan
    assert "weights" not in Plan({"0": Folding(1, 1)}).dumps()


def test_weights_are_read_only_or_loadable(tmp_path):
    (tmp_path / "plan.toml").write_text('bitfold_plan = 1\nweights = "ram"\n[layers]\n')
    with pytest.raises(BadInput, match=r"plan.toml: weights = 'ram' is not known; there are rom, loadable$"):
        Plan.load(tmp_path / "plan.toml")


def test_what_a_block_is_worth_is_a_line_of_the_plan(tmp_path):
    plan = Plan({"0": Folding(1, 1)}, target="ecp5-25", block_luts=384)
    plan.save(tmp_path / "plan.toml")
    assert "block_luts = 384\n" in plan.dumps()
    assert Plan.load(tmp_path / "plan.toml") == plan
    assert plan.family == replace(FAMILIES["ecp5"], worth=384)
    assert "block_luts" not in Plan({"0": Folding(1, 1)}, target="ecp5-25").dumps()


@pytest.mark.parametrize(("target", "block_luts"), [("ecp5-25", 0), ("generic", 100)])
def test_only_blocks_of_a_device_are_worth_something(target, block_luts):
    net = Net(Tensor(2, 2, 1, 0, 3), Chain((BinaryConv(random_weights((2, 1, 1, 1), 0)),)))
    plan = Plan({"0": Folding(2, 1)}, target=target, block_luts=block_luts)
    with pytest.raises(
        BadInput, match=rf"^the plan's block_luts = {block_luts} must be at least 1, and left out where"
    ):
        plan.check(net)


def test_wired_weights_cannot_be_loaded():
    net = Net(Tensor(2, 2, 1, 0, 3), Chain((BinaryConv(random_weights((2, 1, 1, 1), 0)),)))
    plan = Plan({"0": Folding(2, 1, wired=True)}, weights="loadable")
    with pytest.raises(BadInput, match=r'^the plan\'s layer "0": weights that are wired cannot be loaded; leave out '):
        plan.check(net)
