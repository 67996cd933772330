from __future__ import annotations

import threading
import time

from tests.predictors.test_ensemble import both
from tests.tiny import pictures
from vlqa.profiling import profiled, stage


def test_stages_are_counted_in_all_threads_and_only_while_someone_asks() -> None:
    def work() -> None:
        with stage("sleep"):
            time.sleep(0.02)

    work()
    with profiled() as profile:
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    work()
    assert profile.calls == {"sleep": 3} and profile.seconds["sleep"] >= 0.06
    assert 0.02 <= profile.wall < profile.seconds["sleep"] + 1


def test_every_picture_passes_every_stage() -> None:
    images = pictures(5)
    with profiled() as profile:
        both().assess(images)
    assert profile.calls["decode"] == profile.calls["prepare"] == profile.calls["score"] == 5
    assert profile.calls["encode"] >= 5 and profile.seconds["encode"] > 0
