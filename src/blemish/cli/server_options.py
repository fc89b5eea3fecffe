"""Server options: what the two verbs that serve, ``serve`` and ``studio``, both are told."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from blemish.serving.limits import ServeLimits

Host = Annotated[str, typer.Option(help="Address to bind. Others than loopback need a token.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 chooses a free one.")]
AllowAnonymous = Annotated[
    bool, typer.Option("--allow-anonymous", help="Let everybody in who reaches the address.")
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(help="Name by which clients call the server, as behind a proxy. Repeatable."),
]
MaxMib = Annotated[int, typer.Option(min=1, help="Size of one request.")]
MaxMegapixels = Annotated[float, typer.Option(min=0.001, help="Size of one image.")]
KeepGib = Annotated[float, typer.Option(min=0.001, help="Their size on disk.")]


def need_serving_packages(what: str) -> None:
    """Say which extra is missing before a long import fails half-way.

    Raises:
        MissingExtraError: FastAPI or one of its companions is not installed.
    """
    from blemish.errors import MissingExtraError

    for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        if find_spec(package) is None:
            raise MissingExtraError(what, "serve")


def serve_limits(
    max_mib: int, max_megapixels: float, keep: int, keep_gib: float, **others: Any
) -> ServeLimits:
    """The limits in bytes and pixels; ``others`` are fields of them as they are."""
    from blemish.serving.limits import MIB, ServeLimits

    return ServeLimits(
        body_bytes=max_mib * MIB,
        upload_bytes=max(512, 2 * max_mib) * MIB,
        pixels=int(max_megapixels * 1e6),
        keep_pictures=keep,
        keep_bytes=int(keep_gib * 1024 * MIB),
        **others,
    )
