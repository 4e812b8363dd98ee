"""Proofs about a machine's units: circuits as equations, induction, exhaustive evaluation."""
