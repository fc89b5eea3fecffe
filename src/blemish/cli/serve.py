"""``blemish serve``: a model behind HTTP, and the page."""

from __future__ import annotations

from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from blemish.cli.common import Device, ModelFile, Provider
from blemish.cli.send import Send, SpoolFolder, couriers_of


def serve(
    model: ModelFile,
    host: Annotated[
        str, typer.Option(help="Address to bind. Others than loopback need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 chooses a free one.")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that clients must show.")
    ] = None,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Let everybody in who reaches the address.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Name by which clients call the server, as behind a proxy. Repeatable."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder of the history. Default: MODEL.state")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per pass at most.")] = 8,
    queue: Annotated[
        int, typer.Option(min=1, help="Images accepted at once; more are answered 503.")
    ] = 256,
    max_images: Annotated[int, typer.Option(min=1, help="Images in one request.")] = 32,
    max_mib: Annotated[int, typer.Option(min=1, help="Size of one request.")] = 64,
    max_megapixels: Annotated[float, typer.Option(min=0.001, help="Size of one image.")] = 32.0,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for a body to arrive, and for its answer.")
    ] = 60.0,
    keep: Annotated[int, typer.Option(min=1, help="Pictures kept for the page.")] = 2000,
    keep_gib: Annotated[float, typer.Option(min=0.001, help="Their size on disk.")] = 2.0,
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
    from blemish.errors import MissingExtraError

    for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        if find_spec(package) is None:
            raise MissingExtraError("Serving", "serve")
    from blemish.serving.http import server
    from blemish.serving.limits import MIB, ServeLimits

    limits = ServeLimits(
        body_bytes=max_mib * MIB,
        upload_bytes=max(512, 2 * max_mib) * MIB,
        pixels=int(max_megapixels * 1e6),
        images=min(max_images, queue),
        queue=queue,
        batch=batch_size,
        header_seconds=min(10.0, timeout),
        body_seconds=timeout,
        answer_seconds=timeout,
        keep_pictures=keep,
        keep_bytes=int(keep_gib * 1024 * MIB),
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
