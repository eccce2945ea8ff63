"""The store that the configuration names, opened for one who writes or one who reads."""

from agent.config import Config
from agent.store import Store, open_store


def open_writer(config: Config) -> Store:
    """The store, to write to; raises as `open_store` does."""
    return open_store(config.store.url.get_secret_value(), migrates=config.store.migrate)


def open_reader(config: Config) -> Store:
    """The store, to read from; raises as `open_store` does."""
    return open_store(config.store.url.get_secret_value(), writer=False)
