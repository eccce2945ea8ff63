"""How far a prompt or an answer lies from what a baseline was about."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import BadConfig
from agent.record import Call, Score, unscored
from agent.scoring import NO_PROMPT, NO_RESPONSE, TOO_SHORT, Options, bounded, scorer
from agent.scoring.engine import Want
from agent.scoring.models import load_embedder
from agent.scoring.relevance import mean_embedding, windowed

# Axes that hold nine tenths of a baseline's variance, and no more than its texts can tell apart.
_EXPLAINED, _MOST_AXES, _TEXTS_AN_AXIS = 0.9, 64, 10
FEWEST_TEXTS = 200
_TEXTS = ("prompt", "response")
_ABSENT = {"prompt": NO_PROMPT, "response": NO_RESPONSE}

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Subspace:
    """Where embeddings of a baseline lie: their mean [width], orthonormal axes [axes, width]."""

    mean: Floats
    axes: Floats

    @classmethod
    def fit(cls, rows: Floats) -> "Subspace":
        """Principal axes of embeddings [texts, width]."""
        mean = rows.mean(0)
        _, sizes, axes = np.linalg.svd(rows - mean, full_matrices=False)
        explained = np.cumsum(sizes**2) / max(float((sizes**2).sum()), 1e-12)
        wanted = int(np.searchsorted(explained, _EXPLAINED)) + 1
        return cls(mean, axes[: min(wanted, _MOST_AXES, len(rows) // _TEXTS_AN_AXIS)])

    def distance(self, rows: Floats) -> Floats:
        """Half the squared reconstruction error of unit embeddings [texts, width], clipped to 1.

        Halved, because two unit vectors that have nothing in common are a square of 2 apart.
        """
        rest = rows - self.mean
        rest = rest - rest @ self.axes.T @ self.axes
        errors: Floats = np.minimum((rest**2).sum(1) / 2, 1.0)
        return errors


@scorer("novelty")
class Novelty:
    """The part of a text's embedding that the baseline's principal axes do not explain.

    Without `baseline`, a file that `learn` wrote, every call is unscored.
    """

    name = "novelty"
    metrics: tuple[str, ...] = ("prompt_novelty", "response_novelty")

    def __init__(self, options: Options) -> None:
        self._engine = options.engine
        self._model = load_embedder(options.source(self.name))
        self._known: dict[str, Subspace] = {}
        self.version = f"1+{self._model.digest}"
        if options.baseline is not None:
            self._known, digest = _read(options.baseline, self._model.digest)
            self.version += f"+{digest}"

    def wants(self, calls: Sequence[Call]) -> Sequence[Want]:
        """The texts that there is a baseline for."""
        texts = [text for kind in self._known for text in _texts(kind, calls) if text]
        return [Want(self._model, [text for text in texts if text.strip()])]

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        return {f"{kind}_novelty": self._row(kind, calls) for kind in _TEXTS}

    def _row(self, kind: str, calls: Sequence[Call]) -> list[Score]:
        texts = _texts(kind, calls)
        there = [text for text in texts if text and text.strip()] if kind in self._known else []
        given = dict(zip(there, self._engine.outputs(self._model, there), strict=True))
        heads = len(self._model.labels)  # the embedding stands behind them
        row = []
        for text in texts:
            if text is None or not text.strip():
                row.append(_ABSENT[kind] if text is None else TOO_SHORT)
            elif text not in given:
                row.append(unscored("no_baseline"))
            else:
                mean = mean_embedding(given[text][:, heads:])
                distance = float(self._known[kind].distance(mean[None])[0])
                row.append(windowed(bounded(distance), given[text]))
        return row

    def learn(self, calls: Sequence[Call]) -> Mapping[str, Subspace]:
        """The subspaces of these calls' prompts and answers, where there are enough of them."""
        heads, found = len(self._model.labels), {}
        for kind in _TEXTS:
            texts = [text for text in _texts(kind, calls) if text and text.strip()]
            if len(texts) >= FEWEST_TEXTS:
                rows = self._engine.outputs(self._model, texts)
                found[kind] = Subspace.fit(np.stack([mean_embedding(x[:, heads:]) for x in rows]))
        return found

    def save(self, found: Mapping[str, Subspace], path: Path) -> None:
        """Write subspaces, with the digest of their model; raises BadConfig where it cannot."""
        arrays = {f"{kind}_{part}": getattr(one, part)
                  for kind, one in found.items() for part in ("mean", "axes")}  # fmt: skip
        try:
            with path.open("wb") as file:
                np.savez(file, model=np.array(self._model.digest), **arrays)
        except OSError as error:
            raise BadConfig(str(path), f"cannot be written ({type(error).__name__})") from None


def _texts(kind: str, calls: Sequence[Call]) -> list[str | None]:
    return [call.prompt if kind == "prompt" else call.response for call in calls]


def _read(path: str, model: str) -> tuple[dict[str, Subspace], str]:
    key = "scorers.novelty.baseline"
    try:
        data = Path(path).expanduser().read_bytes()
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            kinds = [kind for kind in _TEXTS if f"{kind}_mean" in held]
            found = {k: Subspace(held[f"{k}_mean"], held[f"{k}_axes"]) for k in kinds}
            made_by = str(held["model"])
    except OSError as error:
        raise BadConfig(key, f"{path} cannot be read ({type(error).__name__})") from None
    except (ValueError, KeyError, EOFError):
        raise BadConfig(key, f"{path} was not written by vedette score --baseline-to") from None
    if made_by != model:
        raise BadConfig(key, f"{path} belongs to the model {made_by}, not to {model}")
    return found, hashlib.sha256(data).hexdigest()[:12]
