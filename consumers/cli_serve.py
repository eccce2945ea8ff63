"""`vedette serve`: pages, ingest and evaluation over HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from agent.config import load_config
from consumers.cli_terminal import ConfigFile


def serve(
    config: ConfigFile = None,
    host: Annotated[str | None, typer.Option(help="Instead of the configured one.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    follow: Annotated[
        Path | None, typer.Option(help="Take in the lines of this file as they are written.")
    ] = None,
) -> None:
    """Show pages, take logs in and score on request until SIGTERM."""
    from consumers import following
    from consumers.server.process import run_server

    given = {"host": host, "port": port}
    told = load_config(config, server={k: v for k, v in given.items() if v is not None})
    run_server(told, feed=following.follow(told, follow) if follow is not None else None)
