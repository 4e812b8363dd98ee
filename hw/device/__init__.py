"""What a device offers, and what things cost there."""
