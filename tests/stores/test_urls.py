"""URLs carried as paths: told from files, shown as they were, never with a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from blemish.errors import ConfigError
from blemish.stores.urls import absolute, as_url, shown


@pytest.mark.parametrize(
    "url", ["s3://line3/a b/1.png", "gs://b/1.png", "memory://x/y.png", "file:///tmp/x.png"]
)
def test_a_url_survives_as_a_path(url: str) -> None:
    assert as_url(url) == as_url(Path(url)) == shown(Path(url)) == url
    assert absolute(Path(url)) == Path(url)
    assert as_url(Path(url).parent / "other.png") == url.rpartition("/")[0] + "/other.png"


@pytest.mark.parametrize("path", ["a/b.png", "/a/b.png", "C:/a.png", "a:b", "s3", "-", "x/s3://y"])
def test_files_of_this_machine_are_none(path: str) -> None:
    assert as_url(path) is None
    assert shown(path) == path


@pytest.mark.parametrize(
    "url", ["s3://AKIAX:geheim@line3/a.png", "https://h/a.png?X-Amz-Signature=geheim"]
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="by the environment") as refused:
        as_url(Path(url))
    assert "geheim" not in str(refused.value)
