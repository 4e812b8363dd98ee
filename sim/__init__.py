"""Running the machine in simulators."""
