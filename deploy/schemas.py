"""`python -m deploy.schemas` makes the JSON schemas that kubeconform reads, in .cache/schemas.

They come out of Go modules: Kubernetes' own description of its interface, and the definitions that
the operators install. A field that no definition knows is refused, as `kubectl` would not.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".cache" / "schemas"
KUBERNETES = "k8s.io/kubernetes@v1.37.0"
# A module, and where in it the definitions are of the kinds that the chart makes.
OPERATORS = {
    "github.com/kedacore/keda/v2@v2.21.0": (
        "config/crd/bases/keda.sh_scaledobjects.yaml",
        "config/crd/bases/keda.sh_triggerauthentications.yaml",
    ),
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
    "github.com/external-secrets/external-secrets@v1.3.2": (
        "config/crds/bases/external-secrets.io_externalsecrets.yaml",
    ),
}
_REF = "#/definitions/"
# Which the description of Kubernetes calls texts, and which take numbers too.
_AMOUNTS = ("io.k8s.apimachinery.pkg.api.resource.Quantity",
            "io.k8s.apimachinery.pkg.util.intstr.IntOrString")  # fmt: skip


class _Loader(yaml.SafeLoader):
    """Takes a bare `=`, which YAML 1.1 means something by and these files do not."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: str(node.value))


def file_of(kind: str, group: str, version: str) -> str:
    """The name of a kind's schema, as kubeconform is told to look for it."""
    return f"{kind.lower()}-{group.split('.')[0]}-{version}.json" if group else (
        f"{kind.lower()}-{version}.json"
    )  # fmt: skip


def of_kubernetes(swagger: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every kind of Kubernetes' own: its file and its schema."""
    given = swagger["definitions"]
    for name, told in given.items():
        for row in told.get("x-kubernetes-group-version-kind", ()):
            if "kind" not in told.get("properties", {}) or name.endswith("List"):
                continue
            needed = {one: strict(given[one]) for one in _reached(given, name)}
            for one in _AMOUNTS:
                needed[one] = {"type": ["string", "number"]}
            file = file_of(row["kind"], row["group"], row["version"])
            yield file, {"$ref": _REF + name, "definitions": needed}


def of_operator(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every kind that a file of definitions brings: its file and its schema."""
    for tree in yaml.load_all(text, _Loader):
        spec = tree["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            schema["properties"]["metadata"] = {"type": "object"}
            file = file_of(spec["names"]["kind"], spec["group"], version["name"])
            yield file, strict(schema)


def strict(tree: Any) -> Any:
    """The schema with every object closed to fields that it does not name."""
    if isinstance(tree, list):
        return [strict(one) for one in tree]
    if not isinstance(tree, dict):
        return tree
    if tree.get("x-kubernetes-int-or-string"):
        return {"type": ["string", "integer"]}
    made = {key: strict(value) for key, value in tree.items() if key not in ("format", "default")}
    open_ended = tree.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(tree.get("properties"), dict) and not open_ended:
        made.setdefault("additionalProperties", False)
    return made


def _reached(given: dict[str, Any], name: str) -> set[str]:
    found, left = set[str](), [name]
    while left:
        if (one := left.pop()) not in found:
            found.add(one)
            left += [ref.removeprefix(_REF) for ref in _refs(given[one])]
    return found


def _refs(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        if isinstance(tree.get("$ref"), str):
            yield tree["$ref"]
        tree = list(tree.values())
    if isinstance(tree, list):
        for one in tree:
            yield from _refs(one)


def _fetched(module: str) -> Path:
    asked = ("go", "mod", "download", "-json", module)
    done = subprocess.run(asked, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{module} cannot be had: {done.stdout or done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    swagger = _fetched(KUBERNETES) / "api" / "openapi-spec" / "swagger.json"
    schemas = dict(of_kubernetes(json.loads(swagger.read_text(encoding="utf-8"))))
    for module, paths in OPERATORS.items():
        folder = _fetched(module)
        for path in paths:
            schemas |= of_operator((folder / path).read_text(encoding="utf-8"))
    for file, schema in schemas.items():
        (FOLDER / file).write_text(json.dumps(schema), encoding="utf-8")


if __name__ == "__main__":
    main()
