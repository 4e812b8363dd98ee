"""A claim and what came of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of claim.

    Attributes
    ----------
    name : in the certificate
    says : the claim, for a reader
    leaves : what it does not establish
    """

    name: str
    says: str
    leaves: str


@dataclass(frozen=True)
class Row:
    """A claim and what came of it.

    Attributes
    ----------
    state : "proven", "bounded", "tested", "open" or "refuted"
    method : how, in words
    depth : cycles that an induction or a search looks at; 0 where there are none
    seconds : of this processor; Yosys is not counted
    what : the counterexample of what is refuted
    """

    kind: Kind
    state: str
    method: str
    engine: str
    depth: int
    seconds: float
    what: str = ""
