"""What the worker and its house say of what they did."""

from collections.abc import Mapping, Sequence

from agent.findings import Finding
from agent.monitor import Flush
from agent.record import Partition
from watch.pace import Standing


class Listener:
    """Hears what the worker did; a subclass counts and publishes what it cares for."""

    def flushed(self, flush: Flush) -> None:
        """A transaction was committed."""

    def lost(self, topic: str, records: int) -> None:
        """The broker had deleted records before they were read."""

    def fenced(self) -> None:
        """Another worker had moved a partition on."""

    def lag(self, partition: Partition, records: int | None) -> None:
        """So many records of a partition are unread; None when another worker reads it now."""

    def ledger(self, gap: int) -> None:
        """So many calls are missing between what was received and its ends."""

    def tickets(self, counts: Mapping[tuple[str, str], int]) -> None:
        """So many tickets of each candidate are in each state."""

    def filled(self, parts: Mapping[str, float]) -> None:
        """So much of the bytes that each part of the store may take is taken."""

    def dropped(self, letters: int) -> None:
        """So many dead letters went because there were too many bytes of them."""

    def closed(self, source: str, through: float) -> None:
        """The panes of a source are closed up to a time."""

    def experiments(self, now: float) -> None:
        """The experiments were brought up to what is closed."""

    def concluded(self, findings: Sequence[Finding]) -> None:
        """This is what experiments came to, or what of it is over."""

    def found(self, findings: Sequence[Finding]) -> None:
        """These findings began or ended, or ring since before this process began."""

    def closes(self, now: float) -> None:
        """This process closes panes, and has looked at what is closed."""

    def burned(self, standing: Sequence[Standing], findings: Sequence[Finding]) -> None:
        """Services stand so with their objectives; these findings began, changed or ended."""

    def resigned(self) -> None:
        """Another process closes panes now, and says what it sees in them."""

    def progress(self) -> None:
        """The loop came round."""

    def ready(self, state: bool, why: str) -> None:
        """The dependencies are there, or why not."""

    def house(self) -> None:
        """The house was kept."""
