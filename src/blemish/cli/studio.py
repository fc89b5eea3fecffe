"""``blemish studio``: a project in the browser, from the first picture to limits."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from blemish.cli.common import need_training_packages


def studio(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the project; made where there is none.")
    ] = Path("project"),
    host: Annotated[
        str, typer.Option(help="Address to bind. Others than loopback need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 chooses a free one.")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token of engineers, who may do everything.")
    ] = None,
    operator_token_file: Annotated[
        Path | None, typer.Option(help="File with the token of operators, who inspect and mark.")
    ] = None,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Let everybody in who reaches the address.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Name by which clients call the server, as behind a proxy. Repeatable."),
    ] = None,
    max_mib: Annotated[int, typer.Option(min=1, help="Size of one request.")] = 64,
    max_megapixels: Annotated[float, typer.Option(min=0.001, help="Size of one image.")] = 32.0,
    keep: Annotated[int, typer.Option(min=1, help="Pictures kept of each model.")] = 5000,
    keep_gib: Annotated[float, typer.Option(min=0.001, help="Their size on disk.")] = 4.0,
) -> None:
    """Open a project in the browser: drop pictures, mark, train, set limits, inspect, compare.

    The project is a folder of plain pictures and model files, which all other commands read as
    well. Trainings are processes of their own and go on when this one ends; the next studio of the
    folder finds them.
    """
    from blemish.errors import MissingExtraError

    for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        if find_spec(package) is None:
            raise MissingExtraError("The studio", "serve")
    need_training_packages("The studio")
    from blemish.serving.limits import MIB, ServeLimits
    from blemish.studio.http.server import serve_studio

    limits = ServeLimits(
        body_bytes=max_mib * MIB,
        upload_bytes=max(512, 2 * max_mib) * MIB,
        pixels=int(max_megapixels * 1e6),
        keep_pictures=keep,
        keep_bytes=int(keep_gib * 1024 * MIB),
    )
    serve_studio(
        folder,
        limits,
        host=host,
        port=port,
        token_file=token_file,
        operator_token_file=operator_token_file,
        allow_anonymous=allow_anonymous,
        allow_hosts=allow_host or (),
    )
