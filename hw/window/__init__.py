"""Line buffers, and the windows that are read from them."""
