"""``blemish serve``: a model behind HTTP, and the page."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from blemish.cli.common import Device, ModelFile, Provider
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


def serve(
    model: ModelFile,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that clients must show.")
    ] = None,
    allow_anonymous: AllowAnonymous = False,
    allow_host: AllowHost = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder of the history. Default: MODEL.state")
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
        str | None,
        typer.Option(
            help="Judge a camera's pictures too: camera:0, rtsp://…, udp://…, a video, a folder, "
            "python:MODULE:FUNCTION."
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
    send: Send = None,
    spool: SpoolFolder = None,
    device: Device = "cpu",
    provider: Provider = "auto",
) -> None:
    """Serve a model: an HTTP interface for programs, and a page for people.

    The page shows what was judged, takes marks, and sets the limits anew without training. Stops
    on Ctrl-C or SIGTERM, once what was accepted is answered.
    """
    need_serving_packages("Serving")
    from blemish.serving.http import server

    limits = serve_limits(
        *(max_mib, max_megapixels, keep, keep_gib),
        images=min(max_images, queue),
        queue=queue,
        batch=batch_size,
        header_seconds=min(10.0, timeout),
        body_seconds=timeout,
        answer_seconds=timeout,
    )
    live = None
    if source is not None:
        from blemish.serving.live import LiveSource

        live = LiveSource(source, trigger, keep_live, product)
    couriers = couriers_of(send, model, spool, pictures=False)
    with couriers or nullcontext():
        server.serve(
            model,
            limits,
            host=host,
            port=port,
            token_file=token_file,
            allow_anonymous=allow_anonymous,
            allow_hosts=allow_host or (),
            state=state,
            deliver=couriers.take if couriers else None,
            alarm=couriers.tell if couriers else lambda product, sentence: None,
            source=live,
            device=device,
            provider=provider,
        )
