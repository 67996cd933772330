"""The 25 degradations of KADID-10k and KADIS-700k (Lin et al., 2019), five levels each.

Every function takes and gives uint8 H×W×3 sRGB, at least 16 px on each side, never changes its input and draws
randomness only from the generator it is given. Lengths are in pixels of the picture as it is: the levels, and the
opinions people gave of them, belong to pictures of about 512×384.
"""

from __future__ import annotations

from vlqa.data.degradations.sheet import sheet
from vlqa.data.degradations.table import LEVELS, MIN_SIDE_PX, TYPES, DegradationType, degrade, degrade_by, find

__all__ = ["LEVELS", "MIN_SIDE_PX", "TYPES", "DegradationType", "degrade", "degrade_by", "find", "sheet"]
