"""What a graph of real numbers computes, in the integers of a Net: for formats that describe networks node by node."""
