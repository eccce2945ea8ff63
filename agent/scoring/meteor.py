"""METEOR as NLTK computes it: words that are equal, or of one stem, or synonyms by WordNet.

WordNet is 30 MB that NLTK downloads, and nothing is downloaded here: without a folder of NLTK's
data that holds it, words match as they are and by stem.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any

from agent.errors import BadConfig
from agent.scoring import Options, folders

# A language repeats its words: stemming them anew was half of the time.
_REMEMBERED = 1 << 16

Meteor = Callable[[Sequence[str], Sequence[str]], float]


def load_meteor(options: Options) -> tuple[Meteor, str]:
    """METEOR of the words of a reference and of an answer, and the digest of its WordNet.

    The option `model` names NLTK's data. Raises BadConfig where that has no WordNet.
    """
    synonyms, digest = (_nothing, "") if options.model is None else _wordnet(options)
    reader = SimpleNamespace(synsets=lru_cache(_REMEMBERED)(synonyms))

    def meteor(wanted: Sequence[str], given: Sequence[str]) -> float:
        score, stems = _library()
        found: float = score(wanted, given, stemmer=stems, wordnet=reader)
        return found

    return meteor, digest


@cache
def _library() -> tuple[Any, Any]:
    # Here and at the first answer: its import takes two seconds of every start.
    from nltk.stem.porter import PorterStemmer
    from nltk.translate.meteor_score import single_meteor_score

    stems = SimpleNamespace(stem=lru_cache(_REMEMBERED)(PorterStemmer().stem))
    return single_meteor_score, stems


def _nothing(_: str) -> list[Any]:
    return []


def _wordnet(options: Options) -> tuple[Callable[[str], list[Any]], str]:
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    key, folder = "scorers.overlap.model", folders.expanded(options.model or "")
    how = f"python -m nltk.downloader -d {folder} wordnet puts one there"
    found = folder / "corpora" / "wordnet"
    if not os.path.isfile(found / "data.noun"):  # the method raises for a name that is too long
        found = found.with_suffix(".zip")
    if not os.path.exists(found):
        raise BadConfig(key, f"{folder} has no corpora/wordnet; {how}")
    files = sorted(found.glob("*.*")) if found.is_dir() else [found]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    if options.sha256 is not None and options.sha256.lower() != digest:
        raise BadConfig("scorers.overlap.sha256", f"{found.name} has sha256 {digest}")
    if str(folder) not in nltk.data.path:  # elsewhere NLTK refuses to read
        nltk.data.path.append(str(folder))
    inside = "corpora/wordnet.zip/wordnet/" if found.is_file() else "corpora/wordnet"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it is in English only
            reader = WordNetCorpusReader(nltk.data.find(inside, [str(folder)]), None)
    except Exception as error:  # NLTK raises what its readers meet
        problem = f"{found} cannot be read ({type(error).__name__}); {how}"
        raise BadConfig(key, problem) from None
    return reader.synsets, digest[:12]
