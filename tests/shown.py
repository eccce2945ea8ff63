"""A small bad day in a store, without models: what pages have to show."""

import json
import shutil
from pathlib import Path
from typing import Any

from agent.config import Config, load_config
from agent.score import load_panel
from agent.store import open_store
from consumers.demo import demo_tree
from consumers.demo_runs import keep_runs
from consumers.service import watch_records
from consumers.shadowing import embedded
from consumers.simulate import bad_day, simulate
from consumers.understudy import Understudy

START, CALLS = 1_767_225_600.0, 600
FILE = "shown.json"


def make_shown(folder: Path) -> Path:
    """The day through the whole road into `shown.db`; its configuration is JSON, which is YAML."""
    scenario = bad_day(START, CALLS, 5)
    tree = demo_tree(Path("shown.db"), START) | {"models": False}
    (folder / FILE).write_text(json.dumps(tree), encoding="utf-8")
    config = _config(folder)
    store = open_store(config.store.url.get_secret_value())
    try:
        assert config.shadow is not None
        cast = embedded(config.shadow, store, {"understudy": Understudy(scenario)})
        records = [(record.arrival, record.value) for record in simulate(scenario)]
        watch_records(config, store, load_panel(config), records, cast=cast)
        keep_runs(store, config, scenario)
    finally:
        store.close()
    return folder


def copied(shown: Path, tmp_path: Path, **more: Any) -> Config:
    """The configuration of a copy that a test may change."""
    for path in shown.iterdir():
        shutil.copy(path, tmp_path / path.name)
    return _config(tmp_path, **more)


def _config(folder: Path, **more: Any) -> Config:
    return load_config(folder / FILE, store={"url": f"sqlite:///{folder}/shown.db"}, **more)
