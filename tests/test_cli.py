"""The command line as people and scripts use it, in processes of its own where that may differ."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from consumers import commands
from consumers.cli import main
from tests.road import native

MAIN = "from consumers.cli import main; main()"


# A process that loads the embedding model takes five seconds to start.
QUICK = {"VEDETTE_MODELS": "false"}


def vedette(
    folder: Path, *words: str, stdin: bytes = b"", quick: bool = True
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *words],
        cwd=folder,
        env=os.environ | QUICK if quick else None,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=120,
    )


Here = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Here:
    """The same in this process, in the test's folder."""
    monkeypatch.chdir(tmp_path)
    for key, value in QUICK.items():
        monkeypatch.setenv(key, value)

    def call(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        monkeypatch.setattr("sys.argv", ["vedette", *words])
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            main()
        said = capfd.readouterr()
        code = int(left.value.code or 0)
        return subprocess.CompletedProcess(words, code, said.out.encode(), said.err.encode())

    return call


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "calls.jsonl"
    path.write_text("\n".join(json.dumps(native(i)) for i in range(300)) + "\n{broken\n")
    return path


def test_watch_accounts_for_every_record_and_a_second_run_adds_nothing(log: Path) -> None:
    done = vedette(log.parent, "watch", log.name, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["ledger"]["sums"]
    assert report["ledger"]["scored"] == 300
    assert report["ledger"]["unreadable"] == 1
    again = json.loads(vedette(log.parent, "watch", log.name, "--json").stdout)
    assert again["models"] == report["models"]
    assert again["ledger"]["duplicate"] == 300


def test_watch_counts_the_calls_that_have_a_field_which_nobody_reads(
    tmp_path: Path, here: Here
) -> None:
    records = [native(0), native(1, respones="Hi."), native(2, a=1, b=None)]
    done = here("watch", "-", "--json", stdin="\n".join(map(json.dumps, records)).encode())
    report = json.loads(done.stdout)
    assert (report["ledger"]["scored"], report["unknown_fields"]) == (3, 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nonsense", "No such command 'nonsense'. (see vedette --help)"),
        ("catalog --nope", "No such option: --nope (see vedette catalog --help)"),
        ("score", "Missing argument 'FILE'. (see vedette score --help)"),
        ("shadow --stop", "Option '--stop' requires an argument. (see vedette shadow --help)"),
        ("topics --partitions 0", "Invalid value for '--partitions': "),
    ],
)
def test_bad_usage_is_one_line_that_names_what_is_wrong(here: Here, words: str, said: str) -> None:
    done = here(*words.split())
    (line,) = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (2, b"")
    assert line.startswith(f"vedette: {said}")


def test_without_a_command_there_is_the_help_and_no_error(here: Here) -> None:
    done = here()
    assert (done.returncode, done.stderr) == (2, b"") and b"Usage: vedette" in done.stdout


def test_what_was_sent_is_said_to_a_machine(
    log: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "send", lambda *_: commands.Sent(301, "llm-calls", None))
    done = here("send", log.name, "--json")
    sent = {"records": 301, "topic": "llm-calls", "expired_age_s": None}
    assert (done.returncode, json.loads(done.stdout)) == (0, sent)


def test_score_prints_one_line_a_call_in_order(log: Path) -> None:
    done = vedette(log.parent, "score", "-", "--json", stdin=log.read_bytes(), quick=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[0]["scores"]["response_relevance"]["status"] == "ok"
    assert [row["id"] for row in rows] == [f"call-{i}" for i in range(300)]
    assert rows[0]["scores"]["latency"] == {"value": 0.5, "status": "ok", "why": None}
    assert rows[0]["scores"]["ttft"] == {"value": None, "status": "unscored", "why": "absent"}


def test_what_is_not_scored_is_counted_by_why(log: Path, here: Here) -> None:
    (log.parent / "some").write_text('{"id": "a", "model": "m"}\n{}\nx\n{"id": "b", "model": "m"}')
    done = here("score", "some")
    assert (done.returncode, done.stdout) == (0, b"")
    first, *others = done.stderr.decode().splitlines()
    assert first == "not scored, bad_time at: 2" and len(others) == 2
    assert b"why some are invalid: vedette dead-letters" in here("watch", "some").stderr


def test_a_bad_configuration_ends_the_process_with_2(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text("kafkaa: 1")
    done = vedette(tmp_path, "watch", "-", "-c", "v.yaml", stdin=json.dumps(native(1)).encode())
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().strip() == "vedette: kafkaa: unknown key"


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("panes: {width_s: ten}", "panes.width_s:"),
        ("store: {url: 'mysql://u:canary@h/x'}", "store.url: must be"),
        ("scorers: {nosuch: {}}", "scorers.nosuch: unknown scorer"),
        ("kafka: {brokers: ['example.com:9092']}", "kafka.security.protocol:"),
        ("kafka: {brokers: []}", "kafka.brokers: "),
        ("kafka: {topics: {}}", "kafka.topics: "),
        ("kafka: {topics: {'a b': {}}}", "kafka.topics.a b: "),
        ("kafka: {topics: {t: {}}, dead_letters: t}", "kafka: dead_letters is t, which is an in"),
        ("kafka: {topics: {t: {}}, scored: t}", "kafka: scored is t, which is an input"),
        ("kafka: {heartbeat_s: 60}", "kafka: heartbeat_s must be shorter"),
        ("kafka: {security: {protocol: SASL_SSL}}", "kafka.security: SASL_SSL needs mechanism"),
        ("panes: {width_s: 7}", "panes.width_s: must divide a minute"),
        ("slo: {'bad name': {at_most: 1}}", "slo.bad name: "),
        ("scorers: {relevance: {rate: 2}}", "scorers.relevance.rate: "),
        ("scorers: {toxicity: {model: /nosuch}}", "scorers.toxicity.model: "),
        ('service: "a\\0b"', "service: "),
        ("- a", "must hold a mapping of keys"),
        ("a: [", "is not valid YAML"),
        (f"a: {'[' * 3000}", "is nested too deep"),
    ],
)
def test_a_bad_configuration_is_one_line_that_names_the_key(
    tmp_path: Path, here: Here, yaml: str, words: str
) -> None:
    (tmp_path / "v.yaml").write_text(yaml)
    command = "send" if "brokers" in yaml else "watch"
    done = here(command, "-", "-c", "v.yaml", stdin=json.dumps(native(1)).encode())
    lines = [line for line in done.stderr.decode().splitlines() if line.strip()]
    assert done.returncode == 2
    assert len(lines) == 1
    assert words in lines[0]
    assert "canary" not in done.stderr.decode() + done.stdout.decode()


def test_a_check_reads_the_file_of_receivers(tmp_path: Path) -> None:
    (tmp_path / "hooks").write_text("alertmanager:9093\n")
    told = f"store: {{url: 'sqlite:///{tmp_path}/v.db'}}\nalerts: {{webhook_file: hooks}}\n"
    (tmp_path / "v.yaml").write_text(told + "kafka: {brokers: ['127.0.0.1:1']}\n")
    rows = json.loads(vedette(tmp_path, "check", "-c", "v.yaml", "--json").stdout)
    why = "alerts.webhook_file: must hold http:// or https:// addresses"
    assert rows[-1] == {"what": "alerts", "ok": False, "detail": why}
    assert "Connection refused" in rows[2]["detail"] or "ECONNREFUSED" in rows[2]["detail"]


def test_a_database_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text(
        "store: {url: 'postgresql://ann:canary@127.0.0.1:1/x'}\n"
        "kafka: {brokers: ['127.0.0.1:1'], security: {protocol: SASL_PLAINTEXT, mechanism: PLAIN,"
        " username: ann, password: canary}}\n"
    )
    watched = vedette(tmp_path, "watch", "-", "-c", "v.yaml", stdin=b"{}")
    checked = vedette(tmp_path, "check", "-c", "v.yaml", "--json")
    assert (watched.returncode, checked.returncode) == (3, 3)
    assert watched.stderr.decode().strip() == "vedette: database: does not answer"
    assert [row["ok"] for row in json.loads(checked.stdout)] == [True, False, False, True]
    for done in (watched, checked):
        assert "canary" not in done.stderr.decode() + done.stdout.decode()


def test_the_catalogue_is_data(here: Here) -> None:
    rows = json.loads(here("catalog", "--json").stdout)
    names = {"name", "dimension", "text", "kind", "unit", "range", "good", "threshold", "cost"}
    assert all(set(row) == names | {"help"} for row in rows)


def test_the_catalogue_for_people_has_all_names_ranges_and_helps(here: Here) -> None:
    rows, shown = json.loads(here("catalog", "--json").stdout), here("catalog").stdout.decode()
    lines = shown.splitlines()
    assert [row["name"] for row in rows] == [
        line.split()[0] for line in lines[1:] if line[0] != " "
    ]
    assert "0 to 1" in shown and "seconds  0 and more" in shown and " 0.5 " in shown
    words = {word for row in rows for word in row["help"].split()}
    assert words <= set(shown.split())


def test_the_catalogue_of_a_configuration_has_its_objectives(tmp_path: Path, here: Here) -> None:
    (tmp_path / "v.yaml").write_text("slo: {fast: {metric: latency, at_most: 1}}")
    rows, plain = (json.loads(here("catalog", "--json", *more).stdout)
                   for more in (("-c", "v.yaml"), ()))  # fmt: skip
    assert [row["name"] for row in rows] == [*(row["name"] for row in plain), "slo_fast"]


def test_forget_deletes_a_subject_and_keeps_the_sums(log: Path, here: Here) -> None:
    marked = log.parent / "marked.jsonl"
    marked.write_text(json.dumps(native(1, unit="subject-7")) + '\n{"unit": "subject-7", broken\n')
    here("watch", marked.name)
    done = json.loads(here("forget", "--unit", "subject-7").stdout)
    assert done["calls"] == 1
    assert done["dead_letters"] == 1
    report = json.loads(here("watch", marked.name, "--json").stdout)
    assert report["ledger"]["scored"] == 1


def test_a_baseline_is_learned_from_a_log_and_novelty_is_measured_against_it(
    log: Path, tmp_path: Path, here: Here
) -> None:
    learned = here("score", str(log), "--baseline-to", "novelty.npz")
    assert learned.returncode == 0 and b"prompts around" in learned.stderr and not learned.stdout
    (tmp_path / "vedette.yaml").write_text("scorers: {novelty: {baseline: novelty.npz}}\n")
    one = json.dumps(native(1)).encode()
    scored = here("score", "-", "-c", "vedette.yaml", "--json", stdin=one)
    (line,) = scored.stdout.splitlines()
    assert json.loads(line)["scores"]["prompt_novelty"]["status"] == "ok"
    few = here("score", "-", "--baseline-to", "x.npz", stdin=one)
    assert few.returncode == 2 and b"fewer than 200 prompts" in few.stderr
    assert not (tmp_path / "x.npz").exists()


def test_no_command_waits_for_what_another_needs() -> None:
    late = "{'kafka', 'torch', 'sklearn', 'sqlalchemy', 'suites', 'abtest'}"
    code = f"import sys, consumers.cli; print({late} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_help_has_every_command_and_who_mistypes_one_hears_its_name(here: Here) -> None:
    told = here("--help").stdout.decode()
    names = ("run", "watch", "dead-letters", "findings", "evaluate", "shadow")
    assert all(f" {name} " in told for name in names)
    wrong = here("fidings")
    assert wrong.returncode == 2 and b"Did you mean 'findings'?" in wrong.stderr
