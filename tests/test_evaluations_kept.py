"""What the store keeps of runs: one of a number, one holder of each, nothing of a forgotten one."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, inspect, select, text
from sqlalchemy.engine import make_url

from agent.errors import BadConfig, StoreDown
from agent.store import Store, evaluations, open_store
from agent.store.budgets import LARGEST, Amount
from agent.store.evaluations import TABLES, Evaluation, costs_of
from suites.keeping import forget, read_run, runs_of
from tests.evaluated import right_and_wrong, run_suite, suite_tree, sums, write_lines

RECORDED = {"old": {"answers": "answers.jsonl"}}
COST = Amount(1, 20, 300)
# Begins a run as the runner does, and says which number it took.
BEGIN = """
import sys
from agent.store import evaluations, open_store
store = open_store(sys.argv[1], writer=False)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    with store.transaction() as tx:
        evaluations.hold_suite(tx, "s")
        print(evaluations.begin(tx, "s", "d", b"", "another", 1.0).number, flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_lines(tmp_path / "sums.jsonl", sums(4))
    write_lines(tmp_path / "answers.jsonl", right_and_wrong(4))
    return tmp_path


def begun(store: Store, holder: str = "me/1") -> Evaluation:
    with store.transaction() as tx:
        return evaluations.begin(tx, "s", "d", evaluations.packed({}), holder, 1.0)


def answer(store: Store, one: Evaluation, item: str = "a", cost: Amount = COST) -> None:
    with store.transaction() as tx:
        evaluations.put_answers(tx, one, "t", "asked", {item: {}}, cost, 2.0)


def rows(store: Store) -> int:
    with store.transaction() as tx:
        return sum(tx.scalar(select(func.count()).select_from(one)) or 0 for one in TABLES)


def test_two_processes_that_begin_at_once_take_two_numbers(postgres_url: str) -> None:
    told = [sys.executable, "-c", BEGIN, postgres_url]
    pipe = subprocess.PIPE
    both = [subprocess.Popen(told, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    for one in both:
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
    found = []
    for one in both:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    for one in both:
        found += [int(number) for number in one.communicate(timeout=60)[0].split()]
        assert one.returncode == 0
    assert sorted(found) == list(range(1, 41))


def test_who_evaluates_while_another_begins_hears_of_its_run(
    folder: Path, postgres_url: str
) -> None:
    """The first is in the middle of its transaction, and its run not to be seen yet."""
    store, other = open_store(postgres_url), open_store(postgres_url)
    tree, told = suite_tree(RECORDED), list[str]()
    digest = run_suite(tree, folder, store, fresh=True).digest

    def evaluate() -> None:
        with pytest.raises(BadConfig) as refused:
            run_suite(tree, folder, other)
        told.append(str(refused.value))

    second = threading.Thread(target=evaluate)
    with store.transaction() as tx:
        evaluations.hold_suite(tx, "arithmetic")
        packed, later = evaluations.packed({}), 1_900_000_000.0
        evaluations.begin(tx, "arithmetic", digest, packed, "elsewhere/1", later)
        second.start()
        second.join(1.0)
        assert second.is_alive(), "it waits for the run that is about to be there"
    second.join(30)
    assert told == ["arithmetic#2: is run by elsewhere/1; --fresh begins another"]
    other.close()
    store.close()


@contextmanager
def alive() -> Iterator[int]:
    """Another process of this host."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def test_a_run_is_not_forgotten_while_it_runs(any_store: Store) -> None:
    with alive() as process:
        one = begun(any_store, f"{os.uname().nodename}/{process}")
        answer(any_store, one)
        refused = pytest.raises(BadConfig, match=r"^--forget: s#1 is run by .*; end that first$")
        with refused, any_store.transaction() as tx:
            forget(tx, "s#1", 3.0)
        assert rows(any_store) == 3
    with any_store.transaction() as tx:
        forget(tx, "s#1", 3.0)
    assert rows(any_store) == 0


def test_who_lost_its_run_writes_nothing_more(any_store: Store) -> None:
    one = begun(any_store)
    with any_store.transaction() as tx:
        taken = evaluations.take(tx, one, "you/2", 3.0)
    with pytest.raises(BadConfig, match="s#1: was forgotten meanwhile, or another process"):
        answer(any_store, one)
    answer(any_store, taken)
    with any_store.transaction() as tx:
        forget(tx, "s#1", 1e9)
    for end in (answer, finished):
        with pytest.raises(BadConfig, match="s#1: was forgotten meanwhile"):
            end(any_store, taken)
    assert rows(any_store) == 0


def finished(store: Store, one: Evaluation) -> None:
    with store.transaction() as tx:
        evaluations.finish(tx, one, {"t": {}}, [], {}, 4.0)


def test_what_is_being_written_is_forgotten_too(postgres_url: str) -> None:
    store, other = open_store(postgres_url), open_store(postgres_url)
    one = begun(store)

    def go() -> None:
        with other.transaction() as tx:
            forget(tx, "s#1", 1e9)

    forgets = threading.Thread(target=go)
    with store.transaction() as tx:
        evaluations.put_answers(tx, one, "t", "asked", {"a": {}}, COST, 2.0)
        forgets.start()
        forgets.join(1.0)
        assert forgets.is_alive(), "it waits for the answer"
    forgets.join(30)
    assert rows(store) == 0
    other.close()
    store.close()


def test_costs_add_up_and_a_liar_does_not_stop_the_run(any_store: Store) -> None:
    one = begun(any_store)
    for item in ("a", "a", "b"):
        answer(any_store, one, item)
    with any_store.transaction() as tx:
        assert costs_of(tx, one) == {"t": Amount(3, 60, 900)}
    for _ in range(2):
        answer(any_store, one, cost=Amount(1, 2**80, 2**80))
    with any_store.transaction() as tx:
        assert costs_of(tx, one) == {"t": Amount(5, LARGEST, LARGEST)}


def test_runs_of_an_older_version_are_read_and_gone_on_with(folder: Path, store_url: str) -> None:
    with_scorers = open_store(store_url)
    run_suite(suite_tree(RECORDED), folder, with_scorers)
    with_scorers.close()
    engine = create_engine(make_url(store_url))
    with engine.begin() as tx:
        tx.execute(text("ALTER TABLE evaluations DROP COLUMN scorers"))
        tx.execute(text("DROP TABLE evaluation_spending"))
        tx.execute(text("DELETE FROM migrations WHERE name LIKE 'm010%'"))
    engine.dispose()
    store = open_store(store_url)
    with store.transaction() as tx:
        assert read_run(tx, "arithmetic").scorers == {}
        assert {"scorers", "body"} <= {c["name"] for c in inspect(tx).get_columns("evaluations")}
    again = run_suite(suite_tree(RECORDED), folder, store)
    with store.transaction() as tx:
        assert [one.number for one in runs_of(tx)] == [2, 1]
        assert read_run(tx, again.name).scorers["sums", "number_match"] == "matches 1"
    store.close()


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("These are notes, and no database. " * 99)
    with pytest.raises(StoreDown, match=r"^database: file is not a database$"):
        open_store(f"sqlite:///{tmp_path / 'notes.db'}")
