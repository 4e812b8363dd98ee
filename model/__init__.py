"""The meaning of a network; numpy only."""
