"""`vedette score`: a file's calls and their scores, and what is made of such calls."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.config import load_config
from consumers.cli_measured import all_passed, show_int8
from consumers.cli_terminal import (
    AsJson,
    ConfigFile,
    Form,
    RecordFile,
    err,
    out,
    print_json,
    progress,
)


def score(
    file: RecordFile,
    config: ConfigFile = None,
    form: Form = "auto",
    as_json: AsJson = False,
    baseline_to: Annotated[
        Path | None, typer.Option(help="Write these calls as the baseline of novelty instead.")
    ] = None,
    int8_to: Annotated[
        Path | None, typer.Option(help="Make int8 twins of the models, measured on these calls.")
    ] = None,
) -> None:
    """Score every call of a file; stores nothing. One line a call; 1 where no int8 twin passed."""
    from consumers import commands

    told, refused, passed = load_config(config, inbox={"format": form}), Counter[str](), True
    if int8_to is not None:
        with progress("measuring"):
            tried = commands.make_int8(told, file, int8_to, refused)
        if as_json:
            print_json([asdict(one) for one in tried])
        else:
            show_int8(out, tried)
        passed = all_passed(tried)
    elif baseline_to is not None:
        centres = commands.learn_baseline(told, file, baseline_to, refused)
        known = " and ".join(f"{kind}s around {n} centres" for kind, n in centres.items())
        err.print(f"wrote {baseline_to}: {known}", markup=False, soft_wrap=True)
    else:
        for row in commands.score(told, file, refused):
            _show(row, as_json)
    for why, n in refused.most_common():
        err.print(f"not scored, {why}: {n}", markup=False, soft_wrap=True)
    raise typer.Exit(0 if passed else 1)


def _show(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(row)
    else:
        shown = {k: v["value"] for k, v in row["scores"].items() if v["value"] is not None}
        out.print(row["id"], shown, soft_wrap=True)
