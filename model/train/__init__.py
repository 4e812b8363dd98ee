"""Training in torch: binarised modules, the networks, the data sets, the loop.

    data.py       data sets and their held-out images; the one file here that needs no torch
    modules.py    layers that train in floating point and emulate the integers exactly
    networks.py   the networks, built from those layers
    calibrate.py  from float activations to codes of a few bits
    loop.py       the optimiser, the schedule, augmentation
    recipes.py    what to train and how; `train(recipe, seed)` runs one
    __main__.py   the command

Importing this package imports none of them.
"""
