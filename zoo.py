"""The trained networks that ship with bitfold.

bitfold.zoo.names()                             their names
bitfold.zoo.load("digits")                      a Net
bitfold.zoo.card("digits")                      what it was trained on, and how well it does
bitfold.zoo.path("digits")                      its file
"""

from .model.zoo import card, load, names, path

__all__ = ["card", "load", "names", "path"]
