"""``blemish studio``: a project in the browser, from the first picture to limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blemish.cli.common import need_training_packages
from blemish.cli.server_options import (
    AllowAnonymous,
    AllowHost,
    Host,
    KeepGib,
    MaxMegapixels,
    MaxMib,
    Port,
    need_serving_packages,
    serve_limits,
)


def studio(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the project; made where there is none.")
    ] = Path("project"),
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token of engineers, who may do everything.")
    ] = None,
    operator_token_file: Annotated[
        Path | None, typer.Option(help="File with the token of operators, who inspect and mark.")
    ] = None,
    allow_anonymous: AllowAnonymous = False,
    allow_host: AllowHost = None,
    max_mib: MaxMib = 64,
    max_megapixels: MaxMegapixels = 32.0,
    keep: Annotated[int, typer.Option(min=1, help="Pictures kept of each model.")] = 5000,
    keep_gib: KeepGib = 4.0,
) -> None:
    """Open a project in the browser: drop pictures, mark, train, set limits, inspect, compare.

    The project is a folder of plain pictures and model files, which all other commands read as
    well. Trainings are processes of their own and go on when this one ends; the next studio of the
    folder finds them.
    """
    need_serving_packages("The studio")
    need_training_packages("The studio")
    from blemish.runtime.allocation import share_freed_memory
    from blemish.studio.http.server import serve_studio

    share_freed_memory()
    serve_studio(
        folder,
        serve_limits(max_mib, max_megapixels, keep, keep_gib),
        host=host,
        port=port,
        token_file=token_file,
        operator_token_file=operator_token_file,
        allow_anonymous=allow_anonymous,
        allow_hosts=allow_host or (),
    )
