"""compose.yaml as it is meant for this machine: variables filled in, ports and paths of its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.local.child import free_port

FILE = Path(__file__).with_name("compose.yaml")
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_ADDRESS = re.compile(r"\b([a-z][\w.-]*|\d+\.\d+\.\d+\.\d+):(\d+)\b")
_OWN = ("0.0.0.0", "127.0.0.1", "localhost")
Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One process of a service; replicas are numbered from 1."""

    service: str
    number: int = 1

    def __str__(self) -> str:
        return f"{self.service}-{self.number}"


def read_compose(environment: Mapping[str, str], file: Path = FILE) -> Tree:
    """The file with `${NAME:-default}` filled in, an empty value like none."""

    def fill(found: re.Match[str]) -> str:
        return environment.get(found[1]) or found[2] or ""

    tree: Tree = yaml.safe_load(_VARIABLE.sub(fill, file.read_text(encoding="utf-8")))
    return tree


def merged(tree: Any, changes: Any) -> Any:
    """A tree with another laid over it: mappings are merged, all else is replaced."""
    if not (isinstance(tree, dict) and isinstance(changes, dict)):
        return changes
    return {
        key: merged(tree[key], changes[key]) if key in tree and key in changes
        else changes.get(key, tree.get(key))
        for key in {**tree, **changes}
    }  # fmt: skip


class Places:
    """Where each part lies here: a free port for each of its ports, a file for each that it mounts.

    `changes` are laid over the configuration files, by their names.
    """

    def __init__(self, compose: Tree, folder: Path, changes: Mapping[str, Any]) -> None:
        self._services, self._secrets = compose["services"], compose.get("secrets", {})
        self._folder, self._changes = folder, changes
        self._ports = {
            (part, port): free_port()
            for name in self._services
            for part in self.parts(name)
            for port in self._listened(name)
        }

    def parts(self, service: str) -> list[Part]:
        """The processes of a service."""
        replicas = self._services[service].get("deploy", {}).get("replicas", 1)
        return [Part(service, number + 1) for number in range(replicas)]

    def folder(self, part: Part) -> Path:
        """What belongs to a part."""
        return self._folder / str(part)

    def port(self, part: Part, port: int) -> int:
        """Where a part listens for what compose.yaml calls `port`."""
        return self._ports[part, port]

    def text(self, part: Part, text: str) -> str:
        """A text as the part reads it: its own and others' addresses, its paths, its ports."""

        def place(found: re.Match[str]) -> str:
            owner = part if found[1] in _OWN else Part(found[1])
            here = self._ports.get((owner, int(found[2])))
            return found[0] if here is None else f"127.0.0.1:{here}"

        if text.isdigit() and (part, int(text)) in self._ports:
            return str(self._ports[part, int(text)])
        for there, path in self._paths(part).items():
            text = re.sub(rf"{re.escape(there)}(?![\w.-])", str(path), text)
        return _ADDRESS.sub(place, text).replace("0.0.0.0", "127.0.0.1")

    def settle(self, part: Part) -> None:
        """Make the folder of a part, with the configuration files that it mounts."""
        self.folder(part).mkdir(parents=True)
        for source, there in self._mounts(part).items():
            if source.is_file():
                path = self._paths(part)[there]
                path.write_text(self._rendered(part, source), encoding="utf-8")

    def _rendered(self, part: Part, source: Path) -> str:
        text = source.read_text(encoding="utf-8")
        if source.suffix in (".yaml", ".yml") and source.name != "rules.yml":
            tree = merged(yaml.safe_load(text), self._changes.get(source.name, {}))
            text = yaml.safe_dump(self._found(tree), sort_keys=False)
        return self.text(part, text)

    def _found(self, tree: Any) -> Any:
        """Replicas by their addresses: there is no name service here that lists them."""
        for job in tree.get("scrape_configs", ()):
            for one in job.pop("dns_sd_configs", ()):
                targets = [
                    f"127.0.0.1:{self.port(part, one['port'])}"
                    for name in one["names"]
                    for part in self.parts(name)
                ]
                job["static_configs"] = [{"targets": targets}]
        return tree

    def _mounts(self, part: Part) -> dict[Path, str]:
        """Files and folders of the repository, or of the user, by where the part sees them."""
        told = self._services[part.service]
        volumes = (one.split(":") for one in told.get("volumes", ()))
        found = {FILE.parent / one[0]: one[1] for one in volumes if one[0].startswith(".")}
        for name in told.get("secrets", ()):
            found[FILE.parent / self._secrets[name]["file"]] = f"/run/secrets/{name}"
        return found

    def _paths(self, part: Part) -> dict[str, Path]:
        """Where a part's paths lie here: files beside it, what it writes in its folder `data`."""
        mine = self.folder(part)
        found = {there: mine / Path(there).name for there in self._mounts(part).values()}
        for one in self._services[part.service].get("volumes", ()):
            if not one.startswith("."):
                found[one.split(":")[1]] = mine / "data"
        return found

    def _listened(self, service: str) -> set[int]:
        told = self._services[service]
        published = (one.rsplit(":", 1)[1] for one in told.get("ports", ()))
        return {int(port) for port in (*told.get("expose", ()), *published)}
