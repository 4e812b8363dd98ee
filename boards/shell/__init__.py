"""What stands around a machine on a board: the host link's other end."""
