"""A part of many cases, where all of them would take the default run too long."""

from __future__ import annotations

from collections.abc import Iterable

import pytest


def few(cases: Iterable[object], step: int) -> list[object]:
    """Every so manyth of the cases, the first among them; the others are run by the slow tests."""
    slow = pytest.mark.slow
    return [
        case if index % step == 0 else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=slow)
        for index, case in enumerate(cases)
    ]
