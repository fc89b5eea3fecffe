"""``blemish export``: a model file that needs no torch."""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from blemish._progress import print_notes
from blemish.cli.common import ModelFile, Quiet, need_training_packages


class Format(str, Enum):
    """What the graph is written as."""

    onnx = "onnx"
    openvino = "openvino"


def export(
    model: ModelFile,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="File to write; a name in .onnx gives the bare graph. Default: beside MODEL.",
        ),
    ] = None,
    format: Annotated[
        Format, typer.Option(help="onnx runs with the base installation; openvino is an extra.")
    ] = Format.onnx,
    int8: Annotated[
        bool, typer.Option("--int8", help="Eight-bit weights and activations. Needs --images.")
    ] = False,
    any_size: Annotated[
        bool,
        typer.Option(
            "--any-size", help="The graph takes pictures of any size and scales them itself."
        ),
    ] = False,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Good images on which both models are compared; with --int8 they set the ranges "
            "and the limits. Default: synthetic pictures."
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Export a model as one graph that runs without torch, once it is proved to be the same.

    Both models judge the same images, from the file to the verdict. If a score or a map differs by
    more than 1e-3 relative, or a verdict, nothing is written and the exit code is 2.
    """
    need_training_packages("Exporting a model")
    from blemish._progress import Progress
    from blemish.export import export_model
    from blemish.stores.remote import file_size
    from blemish.stores.urls import shown

    report = export_model(
        model,
        out,
        format=format.value,
        int8=int8,
        any_size=any_size,
        images=images,
        progress=Progress(quiet=quiet),
    )
    if quiet:
        return
    for line in report.parity.lines():
        print(line)
    print(f"Wrote {shown(report.path)} ({file_size(report.path) / 2**20:.1f} MiB).")
    print_notes(report.notes, {"MODEL": shlex.quote(str(report.path))})
    if images is None:
        print_notes(
            ["No real image was used in the comparison. Give good ones with --images GOOD_DIR."]
        )
