"""`vedette migrate`: the tables, before anything needs them."""

from agent.config import load_config
from agent.store import migrate_store
from consumers.cli_terminal import AsJson, ConfigFile, print_json, say


def migrate(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Make or migrate the tables of the store; safe beside processes that write, and twice."""
    done = migrate_store(load_config(config).store.url.get_secret_value())
    if as_json:
        print_json({"migrations": done})
    else:
        say(f"migrated: {', '.join(done)}" if done else "the tables are current")
