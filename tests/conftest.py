"""Settings that hold for every test."""

from __future__ import annotations

import hypothesis

# Speed is judged by benchmarks; on a busy machine a deadline only makes good tests fail.
hypothesis.settings.register_profile("vlqa", deadline=None)
hypothesis.settings.load_profile("vlqa")
