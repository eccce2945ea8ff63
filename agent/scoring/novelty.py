"""How far a prompt or an answer lies from what a baseline was about."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from agent.errors import BadConfig
from agent.record import Call, Score, unscored
from agent.scoring import NO_PROMPT, NO_RESPONSE, TOO_SHORT, Options, bounded, folders, scorer
from agent.scoring.engine import Want
from agent.scoring.memory import Rows
from agent.scoring.models import load_embedder
from agent.scoring.relevance import mean_embedding, windowed
from agent.scoring.topics import Floats, Topics

FEWEST_TEXTS = 200
_TEXTS = ("prompt", "response")
_PARTS = [part.name for part in fields(Topics)]
_ABSENT = {"prompt": NO_PROMPT, "response": NO_RESPONSE}


@scorer("novelty")
class Novelty:
    """How far a text lies from the nearest centre of a baseline, as its place among the baseline's.

    Without `baseline`, a file that `learn` wrote, every call is unscored. 2026-11-25: half the
    squared reconstruction error from 64 principal axes, version 1, took over 20,000 calls to show
    that every tenth was of a new domain of CLINC150 in two of five domains, and 2,300 to 5,900 in
    the others; its rank to the 8th power 1,400 to 12,100 in four; the Mahalanobis distance was no
    better than this; the nearest single text was worse, and would have had to be kept.
    """

    name = "novelty"
    metrics: tuple[str, ...] = ("prompt_novelty", "response_novelty")

    def __init__(self, options: Options) -> None:
        self._engine = options.engine
        self._model = load_embedder(options.source(self.name))
        self._known: dict[str, Topics] = {}
        self.version = f"3+{self._model.digest}"
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
                known, mean = self._known[kind], mean_embedding(given[text][:, heads:])[None]
                row.append(_place(known, mean, given[text]))
        return row

    def learn(self, calls: Sequence[Call]) -> Mapping[str, Topics]:
        """The topics of these calls' prompts and answers, where there are enough of them.

        Raises BadConfig for a model whose embeddings of them are no numbers.
        """
        heads, found = len(self._model.labels), {}
        for kind in _TEXTS:
            texts = [text for text in _texts(kind, calls) if text and text.strip()]
            if len(texts) >= FEWEST_TEXTS:
                rows = self._engine.outputs(self._model, texts)
                means = np.stack([mean_embedding(x[:, heads:]) for x in rows])
                finite = means[np.isfinite(means).all(1)]
                if len(finite) < FEWEST_TEXTS:
                    problem = (
                        f"gives no number for {len(means) - len(finite)} of {len(means)} {kind}s"
                    )
                    raise BadConfig("scorers.novelty.model", problem)
                found[kind] = Topics.fit(finite)
        return found

    def save(self, found: Mapping[str, Topics], path: Path) -> None:
        """Write topics, with the digest of their model; raises BadConfig where it cannot."""
        arrays = {f"{kind}_{part}": getattr(one, part)
                  for kind, one in found.items() for part in _PARTS}  # fmt: skip
        try:
            with path.open("wb") as file:
                np.savez(file, model=np.array(self._model.digest), **arrays)
        except OSError as error:
            raise BadConfig(str(path), f"cannot be written ({type(error).__name__})") from None


def _place(known: Topics, mean: Floats, rows: Rows) -> Score:
    """Of the mean embedding [1, width] of a text's windows."""
    if not np.isfinite(mean).all():
        return Score(None, "invalid", "not_finite")
    score = windowed(bounded(float(known.novelty(mean)[0])), rows)
    return replace(score, axes=tuple(known.places(mean)[0].tolist()))


def _texts(kind: str, calls: Sequence[Call]) -> list[str | None]:
    return [call.prompt if kind == "prompt" else call.response for call in calls]


def _read(path: str, model: str) -> tuple[dict[str, Topics], str]:
    key = "scorers.novelty.baseline"
    try:
        data = folders.expanded(path).read_bytes()
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            kinds = [kind for kind in _TEXTS if f"{kind}_axes" in held]
            found = {k: Topics(*(held[f"{k}_{part}"] for part in _PARTS)) for k in kinds}
            made_by = str(held["model"])
    except OSError as error:
        raise BadConfig(key, f"{path} cannot be read ({type(error).__name__})") from None
    except (ValueError, KeyError, EOFError):
        raise BadConfig(key, f"{path} was not written by vedette score --baseline-to") from None
    if made_by != model:
        raise BadConfig(key, f"{path} belongs to the model {made_by}, not to {model}")
    if not found:
        raise BadConfig(key, f"{path} is of an earlier version; write it anew")
    if not all(np.isfinite(getattr(one, part)).all() for one in found.values() for part in _PARTS):
        raise BadConfig(key, f"{path} holds what is no number; write it anew")
    return found, hashlib.sha256(data).hexdigest()[:12]
