"""The four plain errors of Vedette; everything else is a bug."""


class BadRecord(Exception):
    """A record or call that cannot be read; `reason` is one word from a closed set."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class BadConfig(Exception):
    """A configuration or command line that cannot be used; one line that names the key."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key


class Overloaded(Exception):
    """No room now; try again after `retry_after_s` seconds."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"overloaded, retry after {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class StoreDown(Exception):
    """A dependency (database, broker) is away; try again after `retry_after_s` seconds."""

    def __init__(self, what: str, retry_after_s: float = 1.0) -> None:
        super().__init__(what)
        self.retry_after_s = retry_after_s
