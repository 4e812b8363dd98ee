"""How words travel between stages."""
