"""The registers through which software sees and resets a machine, on AXI4-Lite or Wishbone."""
