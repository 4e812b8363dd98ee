"""Training in torch: binarised modules, the networks, the data sets, the loop.

    data/          data sets and their held-out images; needs no torch
    recipe.py      what to train and how, from a TOML file; recipes/ has those that ship
    modules.py     layers that train in floating point and emulate the integers exactly
    networks.py    the networks, built from those layers
    augment.py     images moved, mirrored and cut out
    batches.py     which images in which step, prepared in the background
    calibrate.py   from float activations to codes of a few bits
    device.py      processor or GPU, one process or several
    run.py         the loop, from random weights to codes
    checkpoint.py  what a run goes on from
    log.py         what a run tells: table, TensorBoard, curves
    command.py     `bitfold train`

Importing this package imports none of them.
"""
