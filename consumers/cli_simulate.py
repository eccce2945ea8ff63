"""`vedette simulate`: a service to watch where there is none yet."""

from typing import Annotated

import typer

from agent.config import load_config
from consumers.cli_terminal import ConfigFile, err


def simulate(
    config: ConfigFile = None,
    rate: Annotated[float, typer.Option(min=0.1, max=5000, help="Calls a second.")] = 5.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="quality, toxicity, latency or jailbreak as KIND[:MODEL]@FROM[-TO], in seconds"
            " from now: toxicity@60, jailbreak:wren-large@60-180. More than one may be given."
        ),
    ] = None,
    topic: Annotated[str | None, typer.Option(help="The topic; default: the first input.")] = None,
    stdout: Annotated[
        bool, typer.Option("--stdout", help="Print the records, one a line, and need no broker.")
    ] = False,
    answer: Annotated[
        str | None,
        typer.Option(help="HOST:PORT: also be a candidate there, OpenAI-compatible below /v1."),
    ] = None,
) -> None:
    """Give the records of a simulated service as they come, until SIGTERM."""
    from consumers.producing import Wish, run_simulation

    wish = Wish(rate, fault or (), topic, stdout, answer)
    given = run_simulation(load_config(config), wish)
    err.print(f"gave {given} records")
