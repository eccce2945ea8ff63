"""Where weights lie, and the digests of what lies there."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from agent.config import load_config
from agent.errors import BadConfig
from agent.scoring import folders
from agent.scoring.int8 import Gate
from consumers.commands import make_int8


def test_a_file_is_read_once_for_its_digest_and_again_when_it_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    plain = hashlib.file_digest

    def counted(stream: object, kind: str) -> object:
        read.append(kind)
        return plain(stream, kind)  # type: ignore[arg-type]  # an open file, as it came

    monkeypatch.setattr(hashlib, "file_digest", counted)
    path, found = tmp_path / "weights", []
    for content in (b"some", b"more"):
        (tmp_path / "new").write_bytes(content)
        (tmp_path / "new").rename(path)
        found += [folders.sha256(path) for _ in range(2)]
    some, more = (hashlib.sha256(content).hexdigest() for content in (b"some", b"more"))
    assert found == [some, some, more, more]
    assert read == ["sha256", "sha256"]


@pytest.mark.parametrize("model", ["~nobody-of-that-name/x", "a" * 300, "/" + "a/" * 3_000])
def test_a_place_that_cannot_be_is_not_there(model: str) -> None:
    with pytest.raises(BadConfig, match=r"^scorers\.toxicity\.model: .* is not "):
        folders.place("scorers.toxicity.model", model)


def test_a_model_is_found_where_the_error_says_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", "~/models")
    with pytest.raises(BadConfig, match="put it in ") as caught:
        folders.place("scorers.toxicity.model", "some/model")
    where = Path(str(caught.value).partition("put it in ")[2].partition(",")[0])
    assert where.is_relative_to(tmp_path)
    where.mkdir(parents=True)
    (where / "config.json").write_text("{}")
    assert folders.place("scorers.toxicity.model", "some/model") == where


def test_a_gate_whose_figure_is_no_number_cannot_be_read(tmp_path: Path) -> None:
    record = (
        '{"model": "m", "graph": "g", "method": "weights", "calibration": 1, "instructions": [],'
        ' "figures": [{"what": "x", "n": 9, "value": "far", "at_most": 0.1}]}'
    )
    (tmp_path / "gate.json").write_text(record)
    with pytest.raises(ValueError, match="far"):
        Gate.read(tmp_path)


def test_int8_is_refused_for_its_model_before_any_record_is_read(tmp_path: Path) -> None:
    config = load_config(models=False, scorers={"toxicity": {"model": str(tmp_path / "none")}})
    with pytest.raises(BadConfig, match=r"^scorers\.toxicity\.model: .* is not there"):
        make_int8(config, str(tmp_path / "no records"), tmp_path, Counter())
