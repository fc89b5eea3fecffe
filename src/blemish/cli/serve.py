"""``blemish serve``: a model behind HTTP, and the page."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from blemish.cli.common import Device, Provider
from blemish.cli.lot import PartId
from blemish.cli.send import Send, SpoolFolder, couriers_of
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
from blemish.errors import ConfigError


def serve(
    model: Annotated[
        list[Path],
        typer.Argument(help="Model file, as `blemish fit` writes it; of several, each has a page."),
    ],
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that clients must show.")
    ] = None,
    allow_anonymous: AllowAnonymous = False,
    allow_host: AllowHost = None,
    state: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the history; of several models a folder of each in it. Default: "
            "MODEL.state"
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per pass at most.")] = 8,
    queue: Annotated[
        int, typer.Option(min=1, help="Images accepted at once; more are answered 503.")
    ] = 256,
    max_images: Annotated[int, typer.Option(min=1, help="Images in one request.")] = 32,
    max_mib: MaxMib = 64,
    max_megapixels: MaxMegapixels = 32.0,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for a body to arrive, and for its answer.")
    ] = 60.0,
    keep: Annotated[int, typer.Option(min=1, help="Pictures kept for the page.")] = 2000,
    keep_gib: KeepGib = 2.0,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Judge a camera's pictures too: camera:0, rtsp://…, udp://…, a video, a folder, "
            "python:MODULE:FUNCTION; of several models NAME=camera:0, once for each. What is said "
            "of --source below holds for all of them."
        ),
    ] = None,
    trigger: Annotated[
        str,
        typer.Option(
            help="--source: which pictures count: all, every:SECONDS, rest[:SECONDS], the first at "
            "rest after movement, or call, by POST /v1/trigger alone."
        ),
    ] = "all",
    keep_live: Annotated[
        str,
        typer.Option(
            help="--source: which are kept for the page: all, none, not-ok, 1/N or not-ok,1/N."
        ),
    ] = "not-ok",
    product: Annotated[
        str | None, typer.Option(help="--source: which product it sees. Default: as recognised.")
    ] = None,
    part_id: PartId = None,
    views: Annotated[
        int, typer.Option(min=1, help="--source: pictures of each part that it names.")
    ] = 1,
    send: Send = None,
    spool: SpoolFolder = None,
    device: Device = "cpu",
    provider: Provider = "auto",
) -> None:
    """Serve models: an HTTP interface for programs, and a page for people.

    The page shows what was judged, takes marks, and sets the limits anew without training. Stops
    on Ctrl-C or SIGTERM, once what was accepted is answered.
    """
    need_serving_packages("Serving")
    from blemish.runtime.allocation import share_freed_memory
    from blemish.serving.http import server
    from blemish.serving.live import LiveSource

    share_freed_memory()
    limits = serve_limits(
        *(max_mib, max_megapixels, keep, keep_gib),
        images=min(max_images, queue),
        queue=queue,
        batch=batch_size,
        header_seconds=min(10.0, timeout),
        body_seconds=timeout,
        answer_seconds=timeout,
    )
    alone = len(model) == 1
    models = {file: server.ToServe(file).name for file in model}
    if len(set(models.values())) < len(model):
        raise ConfigError(
            f"Found two models of one name among {', '.join(map(str, model))}; each has its page "
            "at /inspect/NAME. Rename one."
        )
    if state is not None and not alone:
        with suppress(OSError):  # what is wrong with it is said of the first history in it
            state.mkdir(mode=0o700, exist_ok=True)
    looks_at = sources_by_model(source or (), list(models.values()))
    with ExitStack() as stack:
        to_serve = []
        for file, name in models.items():
            couriers = couriers_of(send, file, spool if alone or spool is None else spool / name)
            camera = looks_at.get(name)
            made = server.ToServe(
                file,
                state=state if alone or state is None else state / name,
                source=None
                if camera is None
                else LiveSource(camera, trigger, keep_live, product, part_id, views),
            )
            if couriers is not None:
                stack.enter_context(couriers)
                made = replace(made, delivery=couriers)
            to_serve.append(made)
        server.serve(
            to_serve,
            limits,
            host=host,
            port=port,
            token_file=token_file,
            allow_anonymous=allow_anonymous,
            allow_hosts=allow_host or (),
            device=device,
            provider=provider,
        )


def sources_by_model(sources: Sequence[str], models: Sequence[str]) -> dict[str, str]:
    """``["nut=camera:0"]`` → which model judges what; a lone model need not be named.

    Raises:
        ConfigError: A source of no model, or two of one.

    Example:
        >>> from blemish.cli.serve import sources_by_model
        >>> sources_by_model(["nut=camera:0", "bolt=in/"], ["nut", "bolt"])
        {'nut': 'camera:0', 'bolt': 'in/'}
        >>> sources_by_model(["camera:0#framerate=30"], ["nut"])
        {'nut': 'camera:0#framerate=30'}
    """
    found: dict[str, str] = {}
    for text in sources:
        name, equals, address = text.partition("=")
        if not (equals and name in models):
            if len(models) > 1:
                raise ConfigError(
                    f"--source {text}: say which model judges it, NAME=ADDRESS, with a NAME of "
                    f"{', '.join(models)}."
                )
            name, address = models[0], text
        if name in found:
            raise ConfigError(
                f"--source {text}: {name} looks at {found[name]} already, and a model at one "
                "source. Serve a copy of the model file under another name."
            )
        found[name] = address
    return found
