"""A record that the Kafka client under Faust cannot decode is one that stands in its place.

aiokafka 0.14.0 raises where a checksum, a compression or a header's name is broken, throws away
what it had read before it, and meets the same record at every start. The class is private, so the
version is pinned.
"""

from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.structs import ConsumerRecord

# What such a record holds instead; told by identity, so nobody can send it.
UNREADABLE = bytes(bytearray(b"unreadable"))
_NO_TIME, _NO_SIZE = -1, -1


class _Records(fetcher.PartitionRecords):
    """The records of one fetch; behind one that cannot be decoded it ends, and the next begins."""

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except StopIteration:
            raise
        except Exception:  # whatever a broken batch makes the client raise
            offset: int = self.next_fetch_offset
            self.next_fetch_offset: int = offset + 1
            self._records_iterator = iter(())
            return ConsumerRecord(
                self._tp.topic, self._tp.partition, offset, _NO_TIME, 0,
                None, UNREADABLE, None, _NO_SIZE, _NO_SIZE, (),
            )  # fmt: skip


def guard() -> None:
    """Let the client go on behind what it cannot decode, in this process."""
    fetcher.PartitionRecords = _Records
