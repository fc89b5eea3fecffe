"""Studio server: a project's folder behind HTTP, until told to stop."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from blemish.errors import ConfigError
from blemish.serving.http.server import bind, make_gate, run_app
from blemish.serving.limits import ServeLimits
from blemish.studio.http.app import create_app
from blemish.studio.http.gate import StudioGate
from blemish.studio.studio import Studio


def serve_studio(
    folder: Path,
    limits: ServeLimits,
    *,
    host: str,
    port: int,
    token_file: Path | None,
    operator_token_file: Path | None,
    allow_anonymous: bool,
    allow_hosts: Sequence[str],
) -> None:
    """Serve a project until SIGTERM or Ctrl-C; a training that runs goes on without it.

    The arguments are the options of ``blemish studio``.

    Raises:
        ConfigError: An address without a token, a port in use, a project that cannot be opened.
    """
    engineer = make_gate(host, token_file, allow_anonymous=allow_anonymous, allow_hosts=allow_hosts)
    operator = None
    if operator_token_file is not None:
        if token_file is None:
            raise ConfigError(
                "--operator-token-file lets operators in beside engineers, who need a token of "
                "their own then: give --token-file as well."
            )
        operator = make_gate(host, operator_token_file, allow_hosts=allow_hosts)
        if operator.knows_token(token_file.read_text("utf-8").strip()):
            raise ConfigError("Engineers and operators have the same token; give them two.")
    with (
        contextlib.closing(bind(host, port)) as listener,
        contextlib.closing(Studio(folder, limits)) as studio,
    ):
        app = create_app(studio, StudioGate(engineer, operator))
        run_app(app, limits, listener, studio.folder.name, ending=studio.end_streams)
