"""`vedette readout --offline RUN`: a run of a suite beside the live figures of the same models."""

from collections.abc import Sequence
from contextlib import closing

from agent.catalog import metric_named
from agent.config import Config
from agent.errors import BadConfig
from consumers.cli_terminal import bare_table, print_json, say, wide
from consumers.readouts import period_of
from consumers.stores import open_reader
from suites.analysis.tables import flags
from suites.beside import Beside, Side, beside, read_live
from suites.keeping import read_run


def show_offline(config: Config, name: str, arms: Sequence[str], as_json: bool) -> None:
    """Print every metric that both have; `arms` is one live variant, production without any."""
    if len(arms) > 1:
        raise BadConfig("--of", "takes one variant beside --offline")
    variant, start, end = period_of("--of", arms[0] if arms else "production")
    with closing(open_reader(config)) as store, store.reading() as tx:
        run = read_run(tx, name, "--offline")
        live = read_live(tx, run, config.service, variant, start, end)
    found = beside(run, live)
    if as_json:
        print_json([{"run": run.name, "variant": variant, **one.as_json()} for one in found])
        return
    if not found:
        models = ", ".join(dict.fromkeys(one.model for one in run.outcomes))
        say(f"no closed pane of service {config.service}, {variant}, has calls of {models}")
        return
    _show(run.name, variant, found)


def _show(run: str, variant: str, found: Sequence[Beside]) -> None:
    for model in dict.fromkeys(one.model for one in found):
        made = bare_table(model, run, variant, "difference", words=(model,))
        for one in (one for one in found if one.model == model):
            # Of these an evaluation has the share flagged elsewhere.
            name = f"{one.metric}, mean score" if flags(metric_named(one.metric)) else one.metric
            made.add_row(f"  {name}", _side(one.offline), _side(one.live), _change(one))
        wide.print(made)
    apart = dict.fromkeys(f"{one.metric} ({one.apart})" for one in found if one.apart)
    if apart:
        say(f"not comparable, another scorer gave it: {'; '.join(apart)}")
    say("observational, no verdict: the questions of a dataset are not those of users")


def _change(one: Beside) -> str:
    if one.difference is None:
        return "-"
    return f"{one.difference:+.4f} [{one.lower:+.4f}, {one.upper:+.4f}]"


def _side(one: Side) -> str:
    return f"{one.mean:.4f} [{one.lower:.4f}, {one.upper:.4f}] of {one.n}"
