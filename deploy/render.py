"""`make chart`: what Helm makes of every ci values file, compared with what is committed.

`python -m deploy.render --write` commits it anew. Helm and kubeconform are built into .cache/go/bin
by `make chart`; the schemas are those of deploy/schemas.py.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from deploy.schemas import FOLDER as SCHEMAS

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "chart"
GOLDEN = ROOT / "tests" / "golden" / "chart"
TOOLS = ROOT / ".cache" / "go" / "bin"
# What `helm` would otherwise take from the version of a library in it.
KUBERNETES = "1.37.0"
# A golden render of these would be the files that they hold.
UNKEPT = frozenset({"dashboards"})
_NAMES = "{{.ResourceKind}}{{.KindSuffix}}.json"


def cases() -> dict[str, Path]:
    """The values files by their names."""
    return {path.name.removesuffix("-values.yaml"): path for path in CHART.glob("ci/*-values.yaml")}


def digest(values: Path) -> str:
    """Of what a golden render is made of, but for the files that are linked into the chart."""
    made = hashlib.sha256()
    for path in (*sorted(CHART.glob("templates/*")), CHART / "Chart.yaml", CHART / "values.yaml"):
        made.update(path.name.encode() + path.read_bytes())
    made.update(values.read_bytes())
    return made.hexdigest()


def render(*values: Path) -> str:
    """What `helm template` makes of values files; raises RuntimeError with what it says."""
    files = [word for one in values for word in ("-f", str(one))]
    return _helm("template", "vedette", str(CHART), "-n", "vedette", *files)


def golden_text(values: Path, rendered: str) -> str:
    """The committed form: the digest first, by which a stale one is seen without Helm."""
    return f"# chart {digest(values)}\n{rendered}"


def lint(values: Path) -> None:
    """Raise RuntimeError for what `helm lint --strict` finds."""
    _helm("lint", str(CHART), "--strict", "--quiet", "-f", str(values))


def conform(rendered: str) -> str:
    """What kubeconform finds in it; empty where all is well. A kind without a schema is named."""
    asked = (str(TOOLS / "kubeconform"), "-strict", "-schema-location", f"{SCHEMAS}/{_NAMES}")
    done = subprocess.run(asked, input=rendered, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _helm(command: str, *arguments: str) -> str:
    asked = (str(TOOLS / "helm"), command, *arguments, "--kube-version", KUBERNETES)
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        raise RuntimeError("\n".join(one for one in lines if "found symbolic link" not in one))
    return done.stdout


def _complaints(name: str, values: Path, write: bool) -> list[str]:
    try:
        lint(values)
        rendered = render(values)
    except RuntimeError as error:
        return [f"{name}: {error}"]
    found = [f"{name}: {line}" for line in conform(rendered).splitlines()]
    golden, text = GOLDEN / f"{name}.yaml", golden_text(values, rendered)
    if name in UNKEPT:
        return found
    if write:
        golden.write_text(text, encoding="utf-8")
    elif not golden.exists() or golden.read_text(encoding="utf-8") != text:
        found.append(f"{name}: is not what is committed; `python -m deploy.render --write`")
    return found


def main() -> None:
    """Check every case, or write its golden render; 1 where something is wrong."""
    write, bad = "--write" in sys.argv[1:], list[str]()
    for name, values in sorted(cases().items()):
        found = _complaints(name, values, write)
        sys.stdout.write("\n".join([f"{'FAIL' if found else 'ok  '} {name}", *found]) + "\n")
        bad += found
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
