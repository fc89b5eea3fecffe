"""The garbage collector while a server runs."""

from __future__ import annotations

import gc

from blemish.serving.http.server import _rare_collections


def test_what_is_loaded_is_left_alone_and_afterwards_all_is_as_it_was() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with _rare_collections():
        assert gc.get_freeze_count() > frozen
        assert gc.get_threshold()[0] > before[0]
        assert gc.isenabled()  # cycles with pictures in them must still be found
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
