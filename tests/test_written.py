"""The reference under docs is what the code says, and the code says something of everything."""

import pytest
from typer.testing import CliRunner

from agent.config import Panes
from agent.described import schema, sentences
from consumers import cli
from deploy.reference import FOLDER, ROOT, pages, with_metrics
from deploy.reference.commands import commands
from deploy.reference.keys import every_key


def test_the_pages_are_what_the_code_writes() -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    there.pop("files.md")  # by hand: tests/test_readme.py
    assert there == pages(), "run `make docs`"


def test_the_readme_names_every_metric() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "| safety | `jailbreak_success`" in readme
    assert readme == with_metrics(readme), "run `make docs`"


def test_every_key_and_option_says_what_it_is() -> None:
    assert [key.path for key in every_key() if not key.sentence] == []
    assert "| None |" not in commands()


def test_a_key_has_its_type_default_and_variable() -> None:
    found = {key.path: key for key in every_key()}
    assert len(found) > 150
    width = found["panes.width_s"]
    assert (width.type, width.default) == ("integer from 1 to 60", "`10`")
    assert width.variable == "`VEDETTE_PANES__WIDTH_S`"
    url = found["shadow.candidates.<name>.url"]
    assert url.variable == "`VEDETTE_SHADOW__CANDIDATES__<name>__URL`"
    assert found["experiments.<name>.primary"].default == "**required**"
    assert (found["drift"].type, found["experiments.<name>.ramp[].at"].variable) == ("mapping", "")


def test_the_sentence_of_a_key_is_the_comment_above_it() -> None:
    source = """
        class Some(Tree):
            # Of one
            # sentence.
            a: int = 1
            b: str = "# no"

            # c is told.
            c: bool
    """
    assert sentences(source) == {"a": "Of one sentence.", "c": "c is told."}
    assert schema()["$defs"]["Panes"]["properties"]["width_s"]["description"]
    assert "description" not in Panes.model_json_schema()["properties"]["width_s"]


def test_a_planted_option_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.app, "registered_commands", [*cli.app.registered_commands])

    @cli.app.command()
    def planted(deep: bool = False) -> None:
        """It stands in no page."""

    assert "## planted\n\nIt stands in no page.\n" in commands()
    assert "`--deep`" in commands()


def test_vedette_schema_says_what_each_key_is() -> None:
    told = CliRunner().invoke(cli.app, ["schema"]).stdout
    assert "A repeated id is recognised for this long" in told
