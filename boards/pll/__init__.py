"""Clocks: the settings of each family's PLL, one file a family; choose.py takes one."""
