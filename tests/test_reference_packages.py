"""Every metric with a reference equals the package that it is named after, pair by pair."""

import re
import shutil
import string
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import nltk.data
import pytest
import sacrebleu
from nltk.corpus.reader.wordnet import WordNetCorpusReader
from nltk.translate.meteor_score import single_meteor_score
from rouge_score.rouge_scorer import RougeScorer

from agent.errors import BadConfig
from agent.record import Call
from agent.scoring import Options, load
from agent.scoring.folders import shipped
from tests.wordings import WORDS, Pair, random_pairs, real_pairs

NEAR, SAME_WEIGHTS = 1e-6, 1e-4
ONE_WINDOW = 128  # tokens
Row = list[float | None]


def ours(name: str, metric: str, pairs: Sequence[Pair], options: Options | None = None) -> Row:
    """Our values; None where there is none."""
    calls = [Call(str(i), 0.0, "m", response=a, reference=b) for i, (a, b) in enumerate(pairs)]
    given = load(name, options or Options(device="cpu")).score(calls)[metric]
    return [score.value for score in given]


class AnyScript:
    """The tokeniser that rouge-score is given: its own drops what is not ASCII."""

    @staticmethod
    def tokenize(text: str) -> list[str]:
        return re.findall(r"[^\W_]+", text.lower())


def plain(text: str) -> str:
    return text.encode("ascii", "ignore").decode()


class NoWordNet:
    """What METEOR asks for synonyms, without any."""

    @staticmethod
    def synsets(_: str) -> list[Any]:
        return []


def bleu(response: str, reference: str) -> float:
    return float(sacrebleu.sentence_bleu(response, [reference]).score) / 100


def rouge(kind: str, tokenizer: type[AnyScript] | None = None) -> Callable[[str, str], float]:
    scorer = RougeScorer([kind], tokenizer=tokenizer)
    return lambda a, b: float(scorer.score(b, a)[kind].fmeasure)


def meteor(response: str, reference: str) -> float:
    given, wanted = AnyScript.tokenize(response), AnyScript.tokenize(reference)
    return float(single_meteor_score(wanted, given, wordnet=NoWordNet))


def exact(response: str, reference: str) -> float:
    """The exact_match of `evaluate`, its options ignore_case and ignore_punctuation on."""
    bare = str.maketrans("", "", string.punctuation)
    return float(response.lower().translate(bare) == reference.lower().translate(bare))


PACKAGES = {
    "bleu": bleu,
    **{kind: rouge(kind, AnyScript) for kind in ("rouge1", "rouge2", "rougeL")},
    "meteor": meteor,
}


def close(found: Row, wanted: Sequence[float], within: float) -> None:
    """Equal within a tolerance, and not one value throughout."""
    assert [value is None for value in found] == [False] * len(wanted)
    assert found == pytest.approx(list(wanted), abs=within)
    assert len({round(value, 3) for value in wanted}) > len(wanted) // 20


def with_words(pairs: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in pairs if AnyScript.tokenize(pair[1])]


def overlap_is_the_packages(pairs: Sequence[Pair]) -> None:
    chosen = with_words(pairs)
    assert len(chosen) > 0.95 * len(pairs)
    for metric, one in PACKAGES.items():
        close(ours("overlap", metric, chosen), [one(a, b) for a, b in chosen], NEAR)
    ascii_only = with_words([(plain(a), plain(b)) for a, b in pairs])
    for kind in ("rouge1", "rouge2", "rougeL"):
        wanted = [rouge(kind)(a, b) for a, b in ascii_only]
        close(ours("overlap", kind, ascii_only), wanted, NEAR)


def bertscore_is_the_package(pairs: Sequence[Pair]) -> None:
    # One at a time: in a batch the package takes its padding for a token of similarity 0, which is
    # nearer than one that is negative to all (1 of 1,000 random pairs, by .004).
    wanted = [float(bert_scorer().score([a], [b])[2]) for a, b in pairs]
    close(ours("bertscore", "bertscore", pairs), wanted, SAME_WEIGHTS)


@cache
def bert_scorer() -> Any:
    from bert_score import BERTScorer

    return BERTScorer(model_type=str(shipped("test")), num_layers=6, device="cpu")


def similarity_is_the_package(pairs: Sequence[Pair]) -> None:
    """Of texts of one window: ours is the mean of a longer one's windows, theirs cuts at 256."""
    from sentence_transformers import SentenceTransformer, util

    model = SentenceTransformer(str(shipped("test")), device="cpu")
    whole = [
        p for p in pairs if all(len(model.tokenizer(one).input_ids) <= ONE_WINDOW for one in p)
    ]
    assert len(whole) > 0.95 * len(pairs)
    left, right = (model.encode([pair[at] for pair in whole]) for at in (0, 1))
    wanted = util.pairwise_cos_sim(left, right).clamp(min=0).tolist()
    close(ours("similarity", "similarity", whole), wanted, NEAR)


def short(pairs: Sequence[Pair], n: int) -> list[Pair]:
    return [(" ".join(a.split()[:n]), " ".join(b.split()[:n])) for a, b in pairs]


def test_overlap_on_random_pairs() -> None:
    overlap_is_the_packages(random_pairs(150, 1))


def test_overlap_on_real_pairs() -> None:
    overlap_is_the_packages(short(real_pairs(40), 60))


def test_bertscore_on_random_pairs() -> None:
    bertscore_is_the_package([pair for pair in random_pairs(60, 2) if pair[0].strip()])


def test_bertscore_of_texts_that_are_cut() -> None:
    words = " ".join(WORDS[i % 9] for i in range(700))
    bertscore_is_the_package([(words, words[:900]), (words[1000:], words), ("a cat", words)])


def test_similarity_on_random_pairs() -> None:
    similarity_is_the_package([pair for pair in random_pairs(40, 3) if pair[0].strip()])


def test_exact_match_where_both_level_a_text_alike() -> None:
    pairs = [(plain(a).replace("_", ""), plain(b).replace("_", "")) for a, b in random_pairs(80, 4)]
    pairs += [(b.upper() + " ?", b) for _, b in pairs]
    joined = [(re.sub(r"[^\w ]", "", a), re.sub(r"[^\w ]", "", b)) for a, b in pairs]
    level = [(" ".join(a.split()), " ".join(b.split())) for a, b in joined]
    wanted = [exact(a, b) for a, b in level]
    assert ours("matches", "exact_match", level) == wanted and 0 < sum(wanted) < len(wanted)


@pytest.mark.prove
def test_thousand_random_and_thousand_real_pairs() -> None:
    random = [pair for pair in random_pairs(1060, 5) if pair[0].strip()][:1000]
    real = real_pairs(1000)
    assert (len(random), len(real)) == (1000, 1000)
    overlap_is_the_packages(random)
    bertscore_is_the_package(random)
    similarity_is_the_package(random)
    overlap_is_the_packages(real)
    bertscore_is_the_package(short(real, 60))
    similarity_is_the_package(short(real, 60))


def test_an_answer_without_words_has_nothing_of_its_reference() -> None:
    pairs = [("", "a cat"), ("...", "a cat")]
    for metric, one in PACKAGES.items():
        assert ours("overlap", metric, pairs) == [one(a, b) for a, b in pairs] == [0.0, 0.0]
    assert ours("bertscore", "bertscore", pairs[:1]) == [0.0]
    assert ours("overlap", "bleu", [("a cat", "")]) == [None]


LICENCE = "  1 This tiny WordNet was written for a test; WordNet 3.0 Copyright of the real one  \n"
SYNSETS = {"noun": ("dog canine hound", "car automobile auto"), "verb": ("run sprint", "sleep nap")}


def tiny_wordnet(folder: Path) -> Path:
    """NLTK's data with a WordNet of a few synsets, laid out as wndb(5WN) says."""
    made = folder / "corpora" / "wordnet"
    made.mkdir(parents=True)
    for pos in ("noun", "verb", "adj", "adv"):
        data, index = LICENCE, LICENCE
        for number, words in enumerate(SYNSETS.get(pos, ())):
            at, names = len(data), words.split()
            lemmas = " ".join(f"{name} 0" for name in names)
            frame = " 01 + 02 00" if pos == "verb" else ""
            data += f"{at:08} {number:02} {pos[0]} {len(names):02x} {lemmas} 000{frame} | x  \n"
            index += "".join(f"{name} {pos[0]} 1 0 1 0 {at:08}  \n" for name in sorted(names))
        (made / f"data.{pos}").write_text(data)
        (made / f"index.{pos}").write_text(index)
        (made / f"{pos}.exc").write_text("ran run\n" if pos == "verb" else "")
    (made / "lexnames").write_text("00\tnoun.Tops\t1\n01\tnoun.act\t1\n")
    for name in ("index.sense", "cntlist.rev"):
        (made / name).write_text("")
    return folder


def test_meteor_with_synonyms_is_that_of_the_package(tmp_path: Path) -> None:
    options = Options(model=str(tiny_wordnet(tmp_path)))
    pairs = [
        ("hounds like an automobile", "a dog will like a car"),
        ("the canine took a nap", "the dog needs sleep"),
        *with_words(random_pairs(60, 6)),
    ]
    found = ours("overlap", "meteor", pairs, options)
    with pytest.warns(UserWarning, match="multilingual"):
        reader = WordNetCorpusReader(nltk.data.find("corpora/wordnet", [str(tmp_path)]), None)
    tokens = [tuple(map(AnyScript.tokenize, pair)) for pair in pairs]
    close(found, [single_meteor_score(b, a, wordnet=reader) for a, b in tokens], NEAR)
    bare = ours("overlap", "meteor", pairs[:2])
    assert all((a or 0) > (b or 0) + 0.05 for a, b in zip(found, bare, strict=False))
    version = load("overlap", options).version
    assert version.startswith("2+") and load("overlap", Options()).version == "2"
    zipped = tmp_path / "zipped"
    shutil.make_archive(str(zipped / "corpora" / "wordnet"), "zip", tmp_path / "corpora", "wordnet")
    assert ours("overlap", "meteor", pairs, Options(model=str(zipped))) == found


def test_a_wordnet_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"scorers\.overlap\.model: .* has no corpora/wordnet; "
                       r"python -m nltk\.downloader -d .* wordnet puts one there"):  # fmt: skip
        load("overlap", Options(model=str(tmp_path)))
    broken = tiny_wordnet(tmp_path / "broken")
    (broken / "corpora" / "wordnet" / "lexnames").unlink()
    with pytest.raises(BadConfig, match="cannot be read"):
        load("overlap", Options(model=str(broken)))
    with pytest.raises(BadConfig, match=r"scorers\.overlap\.sha256: wordnet has sha256 "):
        load("overlap", Options(model=str(broken), sha256="0" * 64))
