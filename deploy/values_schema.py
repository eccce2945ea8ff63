"""The schema of the chart's values; what stands below `config` is that of our configuration."""

import json
from pathlib import Path
from typing import Any

from agent.config import Config

FILE = Path(__file__).parent / "chart" / "values.schema.json"
# Words for people, and defaults that Helm does not fill in.
_WORDS = ("title", "description", "default")


def schema_text(text: str) -> str:
    """A schema of values with the part of the configuration as the code has it."""
    schema, config = json.loads(text), _bare(Config.model_json_schema())
    schema["$defs"] = config.pop("$defs")
    schema["properties"]["config"] = config
    return json.dumps(schema, indent=1) + "\n"


def _bare(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_bare(one) for one in tree]
    if not isinstance(tree, dict):
        return tree
    # `properties` holds names, and a name may be one of those words.
    return {
        key: {name: _bare(one) for name, one in value.items()}
        if key in ("properties", "$defs")
        else _bare(value)
        for key, value in tree.items()
        if key not in _WORDS
    }


def write() -> None:
    """Bring the file up to date."""
    FILE.write_text(schema_text(FILE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write()
