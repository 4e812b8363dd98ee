"""From a machine to a device: synthesis."""
