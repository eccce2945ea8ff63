"""The server is asked all that its description allows, and much that it does not."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.openapi import from_asgi
from schemathesis.specs.openapi.checks import negative_data_rejection as not_refused
from schemathesis.specs.openapi.checks import positive_data_acceptance

from agent.score import Panel
from agent.scoring import Options, load
from consumers.server import access
from consumers.server.scoring import Scoring
from tests.serving import TOKENS, bearer, served
from tests.shown import copied

# A metric or a candidate of any name may be asked for, and most there are not. A page passes over
# what it does not know, and logs that cannot be read are kept for somebody to look at.
NOT_ASKED = ((positive_data_acceptance, "POST"), (not_refused, ("GET", "POST /ingest", "POST /v1")))


@pytest.fixture(scope="module")
def described(shown: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    server = {"tokens": TOKENS, "requests_per_s": 1e6, "burst": 10**6}
    config = copied(shown, tmp_path_factory.mktemp("asked"), server=server)
    panel = Future[Panel]()
    panel.set_result(Panel([(load("refusal", Options(models=False)), 1.0)]))
    with pytest.MonkeyPatch.context() as patch:
        # Otherwise most of what an admin asks would be too much at a time.
        patch.setattr(access, "_ACTIONS", (1e6, 10**6))
        with served(config, scoring=Scoring(config, panel)) as client:
            yield from_asgi("/openapi.json", client.app, headers=bearer("keeper"))


BOTH = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


@pytest.mark.parametrize("mode", BOTH)
def test_it_answers_as_it_says(described: Any, mode: GenerationMode) -> None:
    assert len(ask_all(described, mode, 6)) > 12


@pytest.mark.prove
@pytest.mark.parametrize("mode", BOTH)
def test_it_answers_as_it_says_at_length(described: Any, mode: GenerationMode) -> None:
    assert sum(ask_all(described, mode, 150).values()) > 1000


def ask_all(described: Any, mode: GenerationMode, examples: int) -> dict[str, int]:
    """Ask every operation; how often each was."""
    asked: dict[str, int] = {}
    for operation in (found.ok() for found in described.get_all_operations()):

        @settings(
            max_examples=examples,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=True,
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            label = case.operation.label
            excluded = [check for check, kinds in NOT_ASKED if label.startswith(kinds)]
            answer = case.call_and_validate(
                headers=bearer("keeper"), excluded_checks=excluded, allow_redirects=False
            )
            asked[label] = asked.get(label, 0) + 1
            assert answer.status_code < 500

        with suppress(Unsatisfiable):
            ask()
    return asked
