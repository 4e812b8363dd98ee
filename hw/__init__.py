"""The machine, in Amaranth."""
