"""Dot products with 1-bit weights."""
