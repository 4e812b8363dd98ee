"""The machine as Verilog, and what goes with it."""
