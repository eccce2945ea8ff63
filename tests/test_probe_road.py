"""Probes on the whole road: where they stand, how they are read, and in what they never count."""

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from abtest.levels import levels
from abtest.mixture import interval
from agent.config import load_config
from agent.errors import BadConfig
from agent.experiments import ASIDE
from agent.panes import Group, Row
from agent.probes import APART_BY, METRIC_OF
from agent.rules.rule import PRODUCTION
from agent.score import Panel
from agent.scoring import Options, load
from agent.store import Store, open_store, reads
from agent.store.examples import Example
from consumers.cli import app
from tests.road import InboxRoad, as_bytes, native
from watch.examples import _of
from watch.sample import is_seen
from watch.series import PaneRow

TREE: dict[str, Any] = {"service": "support", "models": False, "inbox": {"source": "backfill"}}
START, CALLS, FAILED = 1_767_225_600, 40, 4


def records() -> list[dict[str, Any]]:
    """Calls, their shadows, and a probe of each: half say the same again, and four fail."""
    found = []
    for at in range(CALLS):
        told = {"origin": "shadow", "pair": f"call-{at}", "model": "next"}
        twin = native(at, id=f"twin-{at}", variant="shadow:next", **told)
        kind = ("typos", "names")[at % 2]
        answer = twin["response"] if at % 4 < 2 else "Tomatoes want sun, water and patience."
        probe = native(at, id=f"probe-{at}", variant="probe:next", segment={"probe": kind},
                       reference=twin["response"], response=answer, **told)  # fmt: skip
        if at % 10 == 0:
            probe |= {"status": "error", "response": None}
        found += [native(at), twin, probe]
    return found


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store that all of them went into."""
    url = f"sqlite:///{tmp_path_factory.mktemp('probes')}/v.db"
    store = open_store(url)
    panel = Panel([(load("consistency", Options(device="cpu")), 1.0)])
    road = InboxRoad(store, load_config(**TREE), panel)
    road.inbox.append(as_bytes(records()))
    road.drain()
    road.worker.finish("backfill")
    store.close()
    return url


@pytest.fixture
def held(url: str) -> Any:
    """The store, to read from."""
    store = open_store(url, writer=False)
    yield store
    store.close()


def rows(store: Store) -> dict[str, Row]:
    """What closed panes hold, by variant."""
    found: dict[str, Row] = {}
    with store.transaction() as tx:
        for _, _, group, row in reads.pane_rows(tx, 0, 4e9, 3600):
            found.setdefault(group.variant, Row()).merge(row)
    return found


def test_only_probes_have_their_metrics_and_only_shadows_have_pairs(held: Store) -> None:
    found = rows(held)
    assert set(found) == {"production", "shadow:next", "probe:next", "paired:next"}
    scored = {"robustness_typos", "fairness_names", "fairness_length"}
    scored |= set(APART_BY)
    for variant, row in found.items():
        mine = {name for name in row.summaries if name.startswith(("robustness_", "fairness_"))}
        assert mine == (scored if variant == "probe:next" else set()), variant
    assert found["paired:next"].calls.total() == CALLS
    typos = found["probe:next"].summaries["robustness_typos"]
    assert (typos.n, typos.missing.words) == (16, {"error": FAILED})


def test_a_level_is_the_mean_with_failures_as_the_worst_and_an_interval(held: Store) -> None:
    with held.transaction() as tx:
        found = {one.metric: one for one in levels(tx, "support", "probe:next")}
        none = levels(tx, "support", "probe:next", end=START)
        half = levels(tx, "support", "probe:next", START, START + 20)
    one, summary = found["robustness_typos"], rows(held)["probe:next"].summaries["robustness_typos"]
    assert (one.n, one.failed, one.good) == (20, FAILED, "high")
    assert one.mean == pytest.approx((summary.mean() or 0) * 16 / 20)
    counts = summary.counts.copy()  # type: ignore[union-attr]  # a score's are dense
    counts[0] += FAILED
    lower, upper = interval(summary.support, counts)  # type: ignore[union-attr]  # as above
    assert [one.lower, one.upper] == pytest.approx([float(lower), float(upper)])
    assert one.lower < one.mean < one.upper
    assert found["error"].mean == pytest.approx(FAILED / CALLS)
    assert found["fairness_length"].good == "low" and "latency" not in found
    assert none == [] and {level.n for level in half if level.metric == "error"} == {20}


def asked(url: str, folder: Path, *words: str) -> str:
    """What `vedette readout` prints."""
    file = folder / "vedette.yaml"
    file.write_text(json.dumps(TREE | {"store": {"url": url}}))
    done = CliRunner().invoke(app, ["readout", *words, "-c", str(file)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_command_prints_levels_as_a_table_and_as_json(url: str, tmp_path: Path) -> None:
    shown = asked(url, tmp_path, "--of", "probe:next")
    ends = r"0\.\d{4} +\[0\.\d{4}, 0\.\d{4}\] +20 +4"
    assert re.search(rf"probe:next +robustness_typos +{ends}", shown)
    told = json.loads(asked(url, tmp_path, "--of", "probe:next@2026-01-01/", "--json"))
    assert {row["metric"] for row in told} >= {"robustness_typos", "fairness_names", "error"}
    assert "no closed pane of service support" in asked(url, tmp_path, "--of", "probe:other")
    for wrong in ("probe:next@", "@/", "probe:next@yesterday/"):
        with pytest.raises(BadConfig, match=r"^--of: "):
            asked(url, tmp_path, "--of", wrong)


def test_the_configuration_that_the_page_shows_is_accepted(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "probes.md").read_text(encoding="utf-8")
    block = re.search(r"^    shadow:\n(?:     .*\n)+", page, re.M)
    assert block is not None
    (tmp_path / "v.yaml").write_text(textwrap.dedent(block[0]))
    shadow = load_config(tmp_path / "v.yaml").shadow
    assert shadow is not None and shadow.candidates["next"].probes == 0.1
    shown = re.findall(r"^\| `(\w+)` \|", page, re.M)
    assert shown == [*METRIC_OF.values(), "fairness_length", *APART_BY]


@pytest.mark.parametrize("variant", [f"{prefix}next" for prefix in ASIDE])
def test_what_no_user_saw_is_in_no_figure_of_production(held: Store, variant: str) -> None:
    assert not is_seen(PaneRow(Group("s", "m", variant), None))  # type: ignore[arg-type]  # not read
    example = Example("a", 0.0, "m", variant, {}, 0.5, "")
    assert _of({"model": "*", "variant": "*"}, [example]) == []
    matcher = PRODUCTION.removeprefix('variant!~"').removesuffix('"')
    assert re.fullmatch(matcher, variant) and not re.fullmatch(matcher, "production")
    with held.transaction() as tx:
        panes = reads.service_panes(tx, "backfill", 10, 0, 4e9) or reads.service_panes(
            tx, "backfill", 3600, 0, 4e9
        )
    assert sum(Row.from_bytes(blob).calls.total() for *_, blob in panes) == CALLS


RUDE = "You are a stupid, disgusting idiot. Shut up and get lost, you worthless moron."
REFUSES = "I'm sorry, but I can't help you with that request."


def test_a_candidate_that_treats_groups_unlike_is_told_from_one_that_does_not(store: Store) -> None:
    """The unfair one is rude to every third person and sends every third away, whoever came
    first; to the same person in other words it says what it said."""
    found, good = [], "The parcel leaves on Monday and arrives two days later."
    for at in range(90):
        said = {"unfair": (RUDE, REFUSES, good)[at % 3], "fair": good}
        for name, text in said.items():
            told = {"origin": "shadow", "variant": f"probe:{name}", "pair": f"call-{at}"}
            swapped = (good, text) if at % 2 else (text, good)
            for kind, (answer, before) in (("groups", swapped), ("case", (text, text))):
                found.append(native(at, id=f"{kind}-{name}-{at}", segment={"probe": kind},
                                    response=answer, reference=before, **told))  # fmt: skip
    road = InboxRoad(
        store, load_config(**TREE), Panel([(load("consistency", Options(device="cpu")), 1.0)])
    )
    road.inbox.append(as_bytes(found))
    road.drain()
    road.worker.finish("backfill")
    with store.transaction() as tx:
        fair, unfair = (
            {one.metric: one for one in levels(tx, "support", f"probe:{name}")}
            for name in ("fair", "unfair")
        )
    for metric in ("fairness_toxicity", "fairness_refusal"):
        assert fair[metric].upper < unfair[metric].lower, metric
        assert unfair[metric].mean > 0.2 and fair[metric].mean < 0.05
    for metric in ("robustness_toxicity", "robustness_refusal"):
        assert unfair[metric].mean == fair[metric].mean == 0.0
