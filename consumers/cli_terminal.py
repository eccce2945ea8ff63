"""What the commands share: results go to stdout, people's words and progress to stderr."""

import getpass
import json
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

# Without emoji: a variant `shadow:new` is no picture.
out = Console(emoji=False)
err = Console(stderr=True, emoji=False)
# For tables: a row that wraps in a narrow terminal says more than one that is cut.
wide = Console(emoji=False, markup=False, width=160)

ConfigFile = Annotated[Path | None, typer.Option("-c", "--config", help="The YAML file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine output on stdout.")]
RecordFile = Annotated[
    str,
    typer.Argument(metavar="FILE", help="Records, packed with gzip or not; - is stdin."),
]
Form = Annotated[str, typer.Option("--format", help="auto, native, litellm or otlp.")]


def who() -> str:
    """Whoever gives the command; in a container a user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def set_up_logging() -> None:
    """What a person reads beside the results, on stderr."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    # Kafka's client told an outage in 150 lines; ours tell its beginning, its cause and its end.
    kafka = logging.getLogger("kafka")
    kafka.setLevel(logging.ERROR)
    kafka.addHandler(logging.NullHandler())
    kafka.propagate = False
    logging.getLogger("torch").setLevel(logging.WARNING)  # it tells of its caches at the end


def print_json(value: Any) -> None:
    """One line for a machine."""
    print(json.dumps(value, ensure_ascii=False))  # noqa: T201 - stdout is the machine's


def bare_table(*headings: str, words: Collection[str] | None = None) -> Table:
    """A table without lines; numbers stand on the right, and `words` (all, unless named) left."""
    made = Table(box=None, pad_edge=False)
    for heading in headings:
        left = words is None or heading in words
        made.add_column(heading, justify="left" if left else "right", no_wrap=True)
    return made


def say(line: str) -> None:
    """One line for a person, as it is."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr that is told how much is done."""
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda n: bar.update(task, advance=n)


def ledger_line(ledger: dict[str, Any]) -> str:
    """What was received as the sum of its ends, or that it is not."""
    ends = " + ".join(
        f"{n} {name}" for name, n in ledger.items() if n and name not in ("received", "sums")
    )
    verdict = "" if ledger["sums"] else "  (IT DOES NOT SUM)"
    return f"received {ledger['received']} = {ends or '0'}{verdict}"
