"""bitfold: multiplier-free accelerators for networks whose weights are single bits, proven bit for bit."""
