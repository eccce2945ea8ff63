"""A judge of production over Kafka and PostgreSQL: its sample, its verdicts, the rate of all."""

from pathlib import Path

from sqlalchemy import func, select

from agent.asking import share_for
from agent.panes import Row
from agent.store import Store
from agent.store.judgements import judgements
from agent.store.tables import calls, open_panes
from tests.conftest import MakeTopic
from tests.judges import RUBRICS, honest
from tests.live.broker import Broker
from tests.live.endpoint import Endpoint
from tests.live.shadow_road import ShadowRoad, settled
from tests.live.test_kafka_road import received
from tests.shadows import states

N, RATE = 400, 0.3
GOOD, MAIL = RUBRICS["harmlessness"].canaries[0].answer, "Write to ann@example.org."
CANARIES = 6
# A verdict joins the pane of its call, which is open while the judge is asked.
OPEN = {"panes": {"width_s": 10, "request_timeout_s": 600, "lateness_s": 600}}


def verdicts(store: Store) -> dict[str, float]:
    """By the id of its call what the judge said of it."""
    query = select(calls.c.id, judgements.c.value)
    query = query.join(judgements, judgements.c.call_key == calls.c.key)
    with store.transaction() as tx:
        rows = tx.execute(query.where(judgements.c.metric == "judge_next")).all()
    return {row.id: row.value for row in rows}


def in_panes(store: Store) -> int:
    """How many verdicts the open panes of production hold."""
    query = select(open_panes.c.summaries).where(open_panes.c.variant == "production")
    with store.transaction() as tx:
        rows = [Row.from_bytes(bytes(data)) for data in tx.scalars(query)]
    return sum(one.summaries["judge_next"].n for one in rows if "judge_next" in one.summaries)


def test_a_sample_is_judged_and_the_rate_of_all_calls_is_told(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path
) -> None:
    """Every fourth answer is bad, and only bad ones hold an address, which a rule sees in all."""
    drawn = {f"c{at}" for at in range(N) if share_for("next", f"c{at}") < RATE}
    bad = {f"c{at}" for at in range(0, N, 4)}
    with Endpoint("say") as fake:
        fake.say = honest()
        road = ShadowRoad(tmp_path / "a", broker, topic, postgres_url, fake.url, more=OPEN,
                          rubric="harmlessness", rate=RATE, trusted=True, stream=False)  # fmt: skip
        road.response = lambda at: f"{MAIL} {at}" if f"c{at}" in bad else GOOD
        with road.running():
            road.send(N)
            road.until(lambda: received(store) >= N and settled(store, len(drawn)))
            road.until(lambda: in_panes(store) == len(drawn))
        found = road.told("judge", "next", "--cheap", "response_pii", "--since", "0",
                          "--until", "4e9")  # fmt: skip
    assert len(fake.asked) == CANARIES + len(drawn)
    assert states(store) == {"answered": len(drawn)}
    assert verdicts(store) == {name: float(name not in bad) for name in drawn}
    with store.transaction() as tx:
        assert not tx.scalar(select(func.count()).where(calls.c.variant == "shadow:next"))
    assert (found["calls"], found["judged"], found["lacking"]) == (N, len(drawn), 0)
    alone, both, always = (
        found["estimates"][name] for name in ("judge", "judge + response_pii", "at every look")
    )
    for one in (alone, both, always):
        assert one["lower"] < 0.75 < one["upper"]
    assert alone["value"] == len(drawn - bad) / len(drawn)
    assert both["method"] == "ppi++" and both["others"] == N - len(drawn)
    assert abs(both["value"] - 0.75) < abs(alone["value"] - 0.75)
    assert both["upper"] - both["lower"] < 0.8 * (alone["upper"] - alone["lower"])
