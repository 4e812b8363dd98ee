"""Data sets: what a network is trained on, and the images held out to judge it, from their official files.

Imports no torch, and nothing but numpy until a data set is read, so that a demonstration can show the
held-out images where nothing is installed to train.
"""

from .catalogue import DATA, open_data
from .dataset import DataSet
from .image_files import ImageFiles
from .images import Images, hold_out

__all__ = ["DATA", "DataSet", "ImageFiles", "Images", "hold_out", "open_data"]
