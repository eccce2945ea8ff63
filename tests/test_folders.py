"""Where weights lie: a file's digest, which is asked for by every reader of the file."""

import hashlib
from pathlib import Path

import pytest

from agent.scoring import folders


def test_a_file_is_read_once_for_its_digest_and_again_when_it_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    plain = hashlib.file_digest

    def counted(stream: object, kind: str) -> object:
        read.append(kind)
        return plain(stream, kind)  # type: ignore[arg-type]  # an open file, as it came

    monkeypatch.setattr(hashlib, "file_digest", counted)
    source, path, found = folders.Source("toxicity"), tmp_path / "weights", []
    for content in (b"some", b"more"):
        (tmp_path / "new").write_bytes(content)
        (tmp_path / "new").rename(path)
        found += [folders.digest(source, path) for _ in range(2)]
    some, more = (hashlib.sha256(content).hexdigest()[:12] for content in (b"some", b"more"))
    assert found == [some, some, more, more]
    assert read == ["sha256", "sha256"]
