"""``--precision auto``: mixed where the device has bfloat16; what was taken is said and kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.training.devices import resolve_precision


@pytest.mark.parametrize(("amx", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_is_mixed_where_the_processor_has_it(
    amx: bool,
    expected: str,
    good_parts: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    kinds: set[torch.dtype] = set()
    settings = {"steps": 2, "batch_size": 2}
    detector = Detector("rd", teacher_weights="random", image_size=64, settings=settings)
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, _, found: (
            kinds.add(found.dtype)
            if isinstance(module, torch.nn.Conv2d) and module.training
            else None
        )
    )
    try:
        detector.fit(
            good_parts[:6],
            hold_out_share=0,
            training=TrainingOptions(device="cpu", precision="auto", check_labels=False),
            progress=Progress(),
        )
    finally:
        hook.remove()
    assert (torch.bfloat16 in kinds) is amx
    assert detector.training["precision"] == expected
    assert ("Steps in bf16-mixed." in capsys.readouterr().err) is amx
    assert {p.dtype for p in detector.method.parameters()} == {torch.float32}


def test_what_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert resolve_precision("32-true", "cpu") == "32-true"
    assert resolve_precision("auto", "cpu") == "bf16-mixed"
