"""One page about a machine: its stages, their folding, cost and work, and how busy they are over time."""
