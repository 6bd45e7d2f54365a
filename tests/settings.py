"""What a run of the tests may be told from outside; read here only.

BEZANT_SOAK is a whole number: how many times more than in `make test` (1). BEZANT_SEED is what
everything random is drawn from.
"""

from __future__ import annotations

import os

SOAK = int(os.environ.get("BEZANT_SOAK") or 1)
SEED = int(os.environ.get("BEZANT_SEED") or 1)
