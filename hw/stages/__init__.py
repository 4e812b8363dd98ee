"""One file a kind of layer, and the frames at the ends."""
