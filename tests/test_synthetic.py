from __future__ import annotations

import hashlib

from tests.synthetic import checkpoint, picture


def test_numbers_are_the_ones_the_expected_figures_were_made_with():
    weight = checkpoint({"encoder.0.weight": (64, 3, 7, 7)}, 1)["encoder.0.weight"].numpy()
    assert hashlib.sha256(weight.tobytes()).hexdigest().startswith("f408613373b57f71")
    assert hashlib.sha256(picture(384, 512, 100).tobytes()).hexdigest().startswith("dc3d4476a2b405a6")
