"""What a source of records is to the worker, whether it is a broker or the inbox."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from agent.intake import Entry
from agent.record import Partition, RawRecord, Unreadable


@dataclass(frozen=True, slots=True)
class Start:
    """A partition that was given to us and waits to be told where to begin.

    `begin` and `end` are the offsets that it holds now; `partitions` are all of its topic.
    """

    topic: str
    partition: int
    generation: int
    begin: int
    end: int
    partitions: tuple[int, ...]
    topic_id: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of one partition, in order."""

    topic: str
    partition: int
    generation: int
    records: tuple[RawRecord | Unreadable, ...]


@dataclass(frozen=True, slots=True)
class Tip:
    """The end of a partition, as it was at a time."""

    end: int
    at: float


class Source(Protocol):
    """A place that records come from; the worker's thread is the only caller."""

    def starts(self) -> Sequence[Start]:
        """Partitions that wait for `seek`."""

    def seek(self, start: Start, offset: int) -> None:
        """Begin delivering at an offset."""

    def restart(self, partitions: Sequence[Partition]) -> None:
        """Drop what was read of these and ask again where to begin."""

    def revoked(self) -> Sequence[Partition]:
        """Partitions that were taken away since the last call."""

    def take(self, timeout_s: float) -> Sequence[Chunk]:
        """The next records; raises what ended the source."""

    def tips(self) -> Mapping[Partition, Tip]:
        """Where the partitions that we hold end."""

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tell lag tools how far we are; nothing depends on it."""

    def close(self) -> None:
        """Stop reading."""


def first_of(record: RawRecord | Unreadable) -> int:
    """The first offset of a record or range."""
    return record.first if isinstance(record, Unreadable) else record.offset


def last_of(record: RawRecord | Unreadable) -> int:
    """The last offset of a record or range."""
    return record.last if isinstance(record, Unreadable) else record.offset


def joined_ranges(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Entries with neighbouring undecodable offsets as one range."""
    joined: list[Entry] = []
    for entry in entries:
        record, before = entry.record, joined[-1].record if joined else None
        if (
            isinstance(record, Unreadable)
            and isinstance(before, Unreadable)
            and before.last + 1 == record.first
        ):
            joined[-1] = Entry(replace(before, last=record.last))
        else:
            joined.append(entry)
    return tuple(joined)
