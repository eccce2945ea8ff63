"""What the README and the pages show is there: the files, and code and configuration that work."""

import contextlib
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs

import agent.scoring
from agent.config import Config, load_config
from agent.described import schema
from agent.errors import BadConfig
from agent.record import Call, Feedback
from agent.rules import groups
from agent.tree import parse_yaml
from consumers.formats import parse
from consumers.formats.native import FIELDS
from consumers.simulate import bad_day, simulate
from consumers.telling import ways_of
from tests.docs import DOCS, block

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tree_names_every_module_and_no_other() -> None:
    tree = (DOCS / "reference" / "files.md").read_text(encoding="utf-8")
    folder, named = "", set()
    for line in tree.splitlines():
        if found := re.match(r"    (  )?([\w/]+(?:\.py)?)\s{2,}\S", line):
            folder = folder if found[1] else found[2]
            named.add(folder + found[2] if found[1] else found[2])
    there = {"tests/", "training/", "deploy/"}
    for top in ("agent", "consumers", "abtest", "watch", "shadow", "suites"):
        there.add(f"{top}/")
        for path in (ROOT / top).iterdir():
            if path.is_dir() and (path / "__init__.py").exists():
                there.add(f"{top}/{path.name}/")
            elif path.suffix == ".py" and path.name != "__init__.py":
                there.add(f"{top}/{path.name}")
    assert named == there
    tops = {name for name in there if name.count("/") == 1 and name.endswith("/")}
    assert tops == set(re.findall(r"^    (\w+/)  +\S", README, re.M))


def test_the_ledger_of_the_demo_is_that_of_its_default_day() -> None:
    for page in (README, (DOCS / "demo.md").read_text(encoding="utf-8")):
        shown = re.search(r"received (\d+) = ", page)
        answers = re.search(r"(\d+) of these are answers of understudy", page)
        assert shown is not None and answers is not None
        assert int(shown[1]) - int(answers[1]) == len(simulate(bad_day(0.0)))


def test_what_the_readme_shows_of_the_demo_is_on_its_page() -> None:
    page = (DOCS / "demo.md").read_text(encoding="utf-8")
    for line in block("../README.md", "received ").splitlines():
        assert line in page, line


def test_the_experiments_that_it_shows_are_accepted(tmp_path: Path) -> None:
    file = tmp_path / "vedette.yaml"
    file.write_text(
        block("experiments.md", "slo: {fast: {metric: latency, at_most: 8}}"), encoding="utf-8"
    )
    experiments = load_config(file).experiments
    assert [one.design for one in experiments.values()] == ["split", "paired"]
    assert experiments["rewrite"].epochs()[1][1] == {"production": 0.5, "canary": 0.5}


def test_the_alerts_that_it_shows_are_accepted(tmp_path: Path) -> None:
    file = tmp_path / "vedette.yaml"
    file.write_text(block("alerts.md", "alerts:"), encoding="utf-8")
    told = load_config(file)
    assert [one.way for one in ways_of(told)] == ["webhook", "topic"]
    assert told.alerts.labels == {"team": "llm"}


def configurations(page: str) -> Iterator[str]:
    """The blocks of a page that begin with a key of the configuration."""
    fenced = re.findall(r"^```ya?ml\n(.*?)^```", page, re.M | re.S)
    rest = re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S)
    for text in (*fenced, *map(textwrap.dedent, re.findall(r"(?:^ {4}.*\n)+", rest, re.M))):
        with contextlib.suppress(BadConfig):  # for what is no YAML
            if set(list(parse_yaml(text, "a page"))[:1]) & set(Config.model_fields):
                yield text


def test_every_configuration_on_a_page_is_accepted(tmp_path: Path) -> None:
    """By the loader, and by the schema, which Helm and editors go by and which knows JSON only."""
    file, shown = tmp_path / "vedette.yaml", 0
    checker = jsonschema_rs.validator_for(schema())
    for page in (ROOT / "README.md", *DOCS.rglob("*.md")):
        for text in configurations(page.read_text(encoding="utf-8")):
            file.write_text(text, encoding="utf-8")
            load_config(file)  # raises with the key that is wrong
            checker.validate(json.loads(json.dumps(parse_yaml(text, page.name), default=str)))
            shown += 1
    assert shown > 20


def test_the_number_of_rules_is_that_of_the_configuration_beside_it() -> None:
    page = (DOCS / "alerts.md").read_text(encoding="utf-8")
    slo = {"fast": {"metric": "latency", "at_most": 8, "target": 0.99}}
    assert "`slo: {fast: {metric: latency, at_most: 8, target: 0.99}}` and `drift: {}`.)" in page
    rules = [rule for group in groups(load_config(slo=slo, drift={})) for rule in group.rules]
    assert f"SUCCESS: {len(rules)} rules found" in page


def test_the_native_record_and_the_judgement_are_read() -> None:
    (call,) = parse(
        block("../README.md", '{"id": "c1"').encode(), "auto", load_config(), 1_767_225_800.0
    )
    assert isinstance(call, Call)
    assert (call.id, call.latency_s, call.segment) == ("c1", 1.2, (("tenant", "acme"),))
    said = re.search(r'`(\{"feedback_for".*?\})`', README)
    assert said is not None
    (judged,) = parse(said[1].encode(), "auto", load_config(), 1_767_225_800.0)
    assert isinstance(judged, Feedback)


def test_the_page_names_every_key_of_a_native_record() -> None:
    page = (DOCS / "run.md").read_text(encoding="utf-8")
    section = page.partition("## What a record holds")[2].partition("\n## ")[0]
    named = re.findall(r"^\| (`.+?`) \|", section, re.M)
    assert sorted(re.findall(r"`(\w+)`", " ".join(named))) == sorted(FIELDS)


def test_the_candidate_that_it_shows_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "vedette.yaml"
    path.write_text(block("asking.md", "shadow:"))
    shown = load_config(path).shadow
    assert shown is not None and list(shown.candidates) == ["next"]


def test_the_configuration_is_one(tmp_path: Path) -> None:
    path = tmp_path / "vedette.yaml"
    for page in ("../README.md", "run.md"):
        path.write_text(block(page, "kafka:"))
        assert set(load_config(path).kafka.topics) == {"llm-calls", "otlp_spans", "otlp_logs"}


def test_the_scorer_of_the_example_scores() -> None:
    names = vars(agent.scoring) | {"Call": Call}
    names["scorer"] = lambda name: lambda factory: factory
    exec(compile(block("../README.md", '@scorer("length")'), "README.md", "exec"), names)
    one = Call("a", 0.0, "m", response="x" * 250)
    scores = names["Length"](agent.scoring.Options()).score([one])
    assert scores["response_length"][0].value == 0.25
