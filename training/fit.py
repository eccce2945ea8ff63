"""Trains the shipped heads: a branch of MiniLM's last layers, on cached states of the first ones.

The branch reads 128 tokens at most: of longer texts a start and a crop, so that length is no sign
of an attack. Every (source, label) weighs as the root of its rows.
"""

import argparse
import dataclasses
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from agent.scoring import folders, layout
from agent.scoring.forward import Encoder, Pack, max_rows, mean_rows
from agent.scoring.models import HEADS
from training.rows import TASKS, Row, rows

DEPTH, EPOCHS, SEED = 2, 2, 3
TOKENS, PACK_TOKENS = 128, 4_000
# Learning rates of the branch and of the new head; the labels are smoothed by what the sources
# disagree among themselves.
BRANCH_RATE, HEAD_RATE, SMOOTHING = 4e-4, 2e-3, 0.02

Floats = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True)
class States:
    """Pieces of texts as hidden states before the branch, and the text that each is of."""

    owners: list[int]
    hidden: list[torch.Tensor]

    def of(self, chosen: Callable[[int], bool]) -> "States":
        """The pieces of some texts."""
        kept = [at for at, owner in enumerate(self.owners) if chosen(owner)]
        return States([self.owners[at] for at in kept], [self.hidden[at] for at in kept])


class Branch(torch.nn.Module):
    """Layers that start as the encoder's own last ones, and a linear head behind them."""

    def __init__(self, layers: Sequence[layout.Layer], width: int) -> None:
        super().__init__()
        self.layers = [_own(layer) for layer in layers]
        self.weights = torch.nn.ParameterList(
            weight for layer in self.layers for part in _parts(layer) for weight in part[:2]
        )
        self.head = torch.nn.Linear(2 * width, len(TASKS))

    def forward(self, encoder: Encoder, hidden: torch.Tensor, pack: Pack) -> torch.Tensor:
        """Logits [texts, tasks]."""
        x = encoder.run(F.dropout(hidden, 0.1, self.training), pack, self.layers)
        both = torch.cat([mean_rows(x, pack), max_rows(x, pack)], 1)
        rows: torch.Tensor = self.head(F.dropout(both, 0.1, self.training))
        return rows


def _parts(layer: layout.Layer) -> list[tuple[torch.Tensor, ...]]:
    return [getattr(layer, field.name) for field in dataclasses.fields(layer)]


def _own(layer: layout.Layer) -> layout.Layer:
    def copy(part: tuple[Any, ...]) -> Any:
        made = (torch.nn.Parameter(x.clone()) if isinstance(x, torch.Tensor) else x for x in part)
        return type(part)(*made)

    fields = dataclasses.fields(layer)
    return dataclasses.replace(layer, **{f.name: copy(getattr(layer, f.name)) for f in fields})


class Trunk:
    """MiniLM with its tokeniser."""

    def __init__(self) -> None:
        folder = folders.shipped("training")
        config = layout.Config.read(json.loads((folder / "config.json").read_text("utf-8")))
        weights = layout.strip(load_file(folder / "model.safetensors"))
        self.encoder = Encoder(config, weights)
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def states(self, texts: Sequence[str], cut: Callable[[list[int]], list[list[int]]]) -> States:
        """Hidden states before the branch of the pieces that `cut` makes of each text's ids."""
        clean = [text[:20_000].encode("utf-8", "replace").decode() for text in texts]
        owners, pieces = [], []
        for owner, encoding in enumerate(self._tokenizer.encode_batch_fast(clean)):
            for piece in cut(encoding.ids):
                owners.append(owner)
                pieces.append(piece)
        hidden = [torch.zeros(0)] * len(pieces)
        shared = self.encoder.layers[:-DEPTH]
        with torch.inference_mode():
            for places in packs([len(piece) for piece in pieces], 2_048):
                ids = [pieces[at] for at in places]
                pack = Pack.make(ids, [[0] * len(one) for one in ids], "cpu")
                x = self.encoder.run(self.encoder.embed(pack), pack, shared).half()
                for at, part in zip(places, torch.split(x, list(pack.lengths)), strict=True):
                    hidden[at] = part.clone()
        return States(owners, hidden)

    def branch(self) -> Branch:
        """A branch that has learned nothing yet."""
        layers = self.encoder.layers[-DEPTH:]
        return Branch(layers, len(layers[0].out.weight))


def crops(seed: int) -> Callable[[list[int]], list[list[int]]]:
    """The start of a text and, of a long one, a crop from anywhere in it."""
    rng = random.Random(seed)

    def cut(ids: list[int]) -> list[list[int]]:
        inner, room = ids[1:-1], TOKENS - 2
        starts = {0} if len(inner) <= room else {0, rng.randrange(len(inner) - room + 1)}
        return [[ids[0], *inner[at : at + room], ids[-1]] for at in sorted(starts)]

    return cut


def packs(lengths: Sequence[int], most: int, rng: random.Random | None = None) -> list[list[int]]:
    """Places of like length in packs of at most so many tokens; in any order with `rng`."""
    chance = rng or random.Random(0)
    order = sorted(range(len(lengths)), key=lambda at: (lengths[at], chance.random()))
    made: list[list[int]] = [[]]
    tokens = 0
    for at in order:
        if made[-1] and tokens + lengths[at] > most:
            made.append([])
            tokens = 0
        made[-1].append(at)
        tokens += lengths[at]
    if rng is not None:
        rng.shuffle(made)
    return [pack for pack in made if pack]


def targets(found: Sequence[Row]) -> tuple[Floats, Floats]:
    """Labels and weights [rows, tasks]; a row without a label of a task weighs nothing there."""
    labels = np.zeros((len(found), len(TASKS)), np.float32)
    weights = np.zeros_like(labels)
    for column, task in enumerate(TASKS):
        groups: dict[tuple[int, str], list[int]] = {}
        for at, row in enumerate(found):
            if task in row.labels:
                labels[at, column] = row.labels[task]
                groups.setdefault((row.labels[task], row.source), []).append(at)
        for label in (0, 1):
            mine = [places for (one, _), places in groups.items() if one == label]
            total = sum(len(places) ** 0.5 for places in mine)
            for places in mine:
                weights[places, column] = 1 / (len(places) ** 0.5 * total)
        weights[:, column] *= sum(map(len, groups.values())) / max(weights[:, column].sum(), 1e-9)
    return labels, np.minimum(weights, 8)


def fit(trunk: Trunk, found: Sequence[Row], states: States, seed: int = SEED) -> Branch:
    """A branch trained on the states of these rows."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    labels, weights = targets(found)
    branch = trunk.branch().train()
    groups = [
        {"params": list(branch.weights), "lr": 0.0, "rate": BRANCH_RATE},
        {"params": branch.head.parameters(), "lr": 0.0, "rate": HEAD_RATE},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.02, betas=(0.9, 0.98))
    lengths = [len(one) for one in states.hidden]
    plan = [pack for _ in range(EPOCHS) for pack in packs(lengths, PACK_TOKENS, rng)]
    for step, places in enumerate(plan):
        for group in optimizer.param_groups:
            warm = min(1.0, (step + 1) / (0.06 * len(plan)))
            group["lr"] = group["rate"] * warm * (1 - step / len(plan))
        owners = [states.owners[at] for at in places]
        logits = _logits(trunk, branch, [states.hidden[at] for at in places])
        wanted = torch.from_numpy(labels[owners]) * (1 - 2 * SMOOTHING) + SMOOTHING
        losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        optimizer.zero_grad()
        (losses * torch.from_numpy(weights[owners])).sum().div(len(owners)).backward()  # type: ignore[no-untyped-call]  # torch's own
        torch.nn.utils.clip_grad_norm_(branch.parameters(), 1.0)
        optimizer.step()
    return branch.eval()


def _logits(trunk: Trunk, branch: Branch, hidden: Sequence[torch.Tensor]) -> torch.Tensor:
    none = [[0] * len(one) for one in hidden]
    pack = Pack.make(none, none, "cpu")
    made: torch.Tensor = branch(trunk.encoder, torch.cat(list(hidden)).float(), pack)
    return made


def save(branch: Branch, path: Path, layers: int) -> None:
    """The branch under MiniLM's own names, in half precision."""
    names, found = layout.FAMILIES["bert"], {}
    for at, layer in enumerate(branch.layers, layers - DEPTH):
        place = names.layer.format(at=at)
        bias = layer.qkv.bias
        assert bias is not None
        for part, name in enumerate((names.query, names.key, names.value)):
            found[f"{place}{name}.weight"] = layer.qkv.weight.chunk(3)[part]
            found[f"{place}{name}.bias"] = bias.chunk(3)[part]
        for field in ("out", "norm", "up", "down", "last_norm"):
            own = f"{place}{getattr(names, field)}"
            found[f"{own}.weight"], found[f"{own}.bias"] = getattr(layer, field)[:2]
    found["head.weight"], found["head.bias"] = branch.head.weight, branch.head.bias
    half = {name: one.detach().half().contiguous() for name, one in found.items()}
    save_file(half, path, metadata={"labels": ",".join(TASKS)})


def main() -> None:
    """Train on every row that may be trained on, and write the file that ships."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = parser.parse_args().data
    trunk, found = Trunk(), rows(data, SEED)
    branch = fit(trunk, found, trunk.states([row.text for row in found], crops(SEED)))
    save(branch, HEADS, len(trunk.encoder.layers))


if __name__ == "__main__":
    main()
