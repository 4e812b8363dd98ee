"""``python -m bitfold.model.zoo`` writes the tables of the READMEs anew from the networks' cards."""

import sys

from ..error import BadInput
from .tables import rewrite

try:
    rewrite()
except BadInput as error:
    print(f"bitfold: {error}", file=sys.stderr)
    raise SystemExit(2) from None
