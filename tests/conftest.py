"""Real data that some tests need and the repository does not ship."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """``mvtec/{bottle,pill}`` and ``lookout/{cookie,alien}``, beside the repository."""
    if not (_SHARED / "mvtec" / "bottle" / "train" / "good").is_dir():
        pytest.skip("needs the inspection images in ../shared/data, which are not here")
    return _SHARED
