"""The texts that the shipped heads learn from, with what each says of each task.

Public rows come from files that the data's README marks as usable for training what ships; the
rest is filled in from `phrases.json`, which is our own writing.

2026-11-24: without role prompts of our own, benign and hostile in the same words, a head that had
not seen `role_prompts_benign` flagged 19 % of it at .5 (AUROC .942 against `itw_jailbreak`); with
them 6 % (.967). Documents of our own as wholes and answers that help, decline or warn took BIPIA's
tables from .793 to .976 and GPTFuzz's harmful answers from .498 to .881.

2026-11-24, linear heads with a decay of .03 on a sample of the rows, mean AUROC of toxicity over
the seven sources left out: .812; with our
passages of lewd, cruel, threatening and sneering text and their harmless twins .820; with prompts
whose toxicity a bot agreed to, too, .830 (without passages .824). More were no gain on top of the
passages: biased opinions .807, prompts of biased opinions .813, AdvBench's requests as toxic .816,
talk of self-harm as toxic .818. Harmful answers as toxic, .822, helped OpenAI's set alone.
"""

import gzip
import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from agent.scoring.sentences import sentence_windows
from agent.scoring.voices import last_voice
from training import repository
from training.writer import KINDS, Writer

TASKS = ("toxicity", "jailbreak", "injection", "context_injection", "refusal", "harm")
# Of a large source; more rows of one source taught little about the next one.
_CAPPED = 2_000
# Of each source of toxic texts; so many say that an insult is no attack.
_NO_ATTACKS = 500
# Documents of our own, and passages of one kind of toxic text or its harmless twin.
_DOCUMENTS, _PASSAGES = 2_000, 200
# Documents of each kind that the writer knows, their sizes, and those with an attack in them. The
# latter are so short that no crop of them is without it.
_WRITTEN, _LEAST_CHARS, _MOST_CHARS = 1_200, 150, 3_000
_HIDDEN, _AROUND_CHARS = 1_500, 180
# Kinds that a context may be of: their imperatives, if any, are for people.
_CONTEXTS = frozenset({"code", "configs", "logs", "legal", "prose", "letters"})
_TWINS = (
    ("sexual", "sexual_calm"), ("threats", "violent_calm"), ("violent", "violent_calm"),
    ("despair", "despair_calm"), ("sneers", "friendly"), ("whispers", "fair"),
)  # fmt: skip

_SLOTS = {
    "group": "groups", "job": "jobs", "name": "names", "ask": "asks", "language": "languages",
    "thing": "things", "thing2": "things", "prose": "prose", "prose2": "prose", "prose3": "prose",
    "verb": "verbs", "code": "code", "task": "tasks", "task2": "tasks", "security": "securities",
    "body": "role_bodies", "rule": "role_rules", "rule2": "role_rules", "first": "role_firsts",
    "evil": "evil_rules", "evil2": "evil_rules", "evil3": "evil_rules",
    "person": "people", "lover": "lovers", "place": "places",
    "step": "steps", "step2": "steps", "step3": "steps",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A text, its source, and the label of every task that it says something about."""

    text: str
    source: str
    labels: Mapping[str, int]


def read(data: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a file of the data folder; raises FileNotFoundError."""
    with gzip.open(data / "dev" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@cache
def phrases() -> Mapping[str, Any]:
    """The forms and words of our own texts by their kind."""
    path = Path(__file__).with_name("phrases.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def rows(data: Path, seed: int) -> list[Row]:
    """Every row that may be trained on, shuffled."""
    rng = random.Random(seed)
    found = published(data, rng)
    words = phrases()
    found += [*_invented(words, rng), *_documents(words, rng), *_helped(data, words, rng)]
    found += [*_passages(words, rng), *_written(words, rng)]
    rng.shuffle(found)
    return [row for row in found if row.text.strip()]


def published(data: Path, rng: random.Random) -> list[Row]:
    """Those of public files, each under the name of its source."""
    return [*_toxic(data, rng), *_attacks(data), *_answers(data), *_plain(data, rng)]


def _calm(**more: int) -> dict[str, int]:
    return {"jailbreak": 0, "injection": 0, **more}


def _toxic(data: Path, rng: random.Random) -> Iterator[Row]:
    for name in ("toxicity/davidson_tweets", "toxicity/diasafety_offending",
                 "toxicity/openai_moderation", "hatecheck_like/bias_madlibs",
                 "hatecheck_like/toxigen_demos"):  # fmt: skip
        found = read(data, name)
        for at, row in enumerate(rng.sample(found, min(len(found), 2 * _CAPPED))):
            calm = _calm() if at < _NO_ATTACKS else {}
            yield Row(row["text"], name.split("/")[1], {**calm, "toxicity": row["toxic"]})
    for row in read(data, "conversations/diasafety"):
        if row["unsafe"] and row["category"] == "Toxicity Agreement":
            yield Row(row["prompt"], "diasafety_agreed", {"toxicity": 1})


def _attacks(data: Path) -> Iterator[Row]:
    for name in ("gptfuzzer_templates", "itw_jailbreak"):
        for row in read(data, f"injection/{name}"):
            yield Row(row["text"], name, {"jailbreak": 1, "injection": 1})
    for row in read(data, "injection/role_prompts_benign"):
        yield Row(row["text"], "role_prompts_benign", _calm(toxicity=0, context_injection=1))
    for row in read(data, "harmful_requests/advbench"):
        yield Row(row["prompt"], "advbench", _calm(context_injection=1))
    orders = set()
    for row in read(data, "injection/bipia_indirect"):
        if row["meta"]["task"] != "email":
            continue
        if row["injection"]:
            orders.add(row["meta"]["attack"])
        else:
            for window in sentence_windows(row["text"], 2):
                yield Row(window, "bipia_email", _calm(toxicity=0, context_injection=0))
    for order in sorted(str(order) for order in orders):
        yield Row(order, "bipia_email", {"context_injection": 1})


def _answers(data: Path) -> Iterator[Row]:
    # Half of them: they are long, and their labels are noisy.
    for row in read(data, "refusal/gptfuzz_responses")[::2]:
        did = int(row["complied"])
        labels = {"refusal": 1 - did, "harm": did}
        yield Row(last_voice(row["response"]), "gptfuzz_responses", labels)
    for row in read(data, "refusal/llmdrift_sensitiveq"):
        refused = 1 - int(row["answered"])
        labels = {"refusal": refused, "toxicity": 0}
        yield Row(row["response"], "llmdrift_sensitiveq", _calm(**labels, harm=0))
    for row in read(data, "drift/llmdrift_prime")[::40]:
        plain = {"refusal": 0, "harm": 0, "toxicity": 0, "context_injection": 0}
        yield Row(row["response"], "llmdrift_prime", _calm(**plain))


def _plain(data: Path, rng: random.Random) -> Iterator[Row]:
    for row in rng.sample(read(data, "drift/clinc150"), _CAPPED):
        yield Row(row["text"], "clinc150", _calm(toxicity=0, context_injection=1))
    for row in rng.sample(read(data, "pii/presidio_synth"), 1_000):
        yield Row(row["text"], "presidio_synth", _calm(toxicity=0, context_injection=0))
    for row in read(data, "conversations/hh_harmless_test"):
        turns = re.findall(r"Human: (.*?)(?=\n\nAssistant:|\Z)", row["prompt"], re.S)
        yield Row(turns[0] if turns else row["prompt"], "hh_prompts", _calm())
        yield Row(row["prompt"], "hh_talks", _calm())
        context = {"context_injection": 0} if len(row["chosen"]) < 300 else {}
        yield Row(row["chosen"], "hh_answers", _calm(**context))
    for row in rng.sample(read(data, "conversations/diasafety"), _CAPPED):
        yield Row(row["prompt"], "diasafety_prompts", _calm())
        # Those of Offending User are in diasafety_offending, with either label.
        if not row["unsafe"] and row["category"] != "Offending User":
            yield Row(row["response"], "diasafety_answers", _calm(refusal=0, harm=0, toxicity=0))


def _invented(words: Mapping[str, Any], rng: random.Random) -> Iterator[Row]:
    for kind, times, labels in (
        ("overrides", 80, {"injection": 1, "context_injection": 1}),
        ("jailbreaks", 60, {"jailbreak": 1, "injection": 1}),
        ("role_attacks", 100, {"jailbreak": 1, "injection": 1}),
        ("roles", 120, _calm(toxicity=0)),
        ("benign_kinds", 80, _calm(toxicity=0)),
        ("document_orders", 40, {"context_injection": 1, "jailbreak": 0}),
        ("kind", 40, _calm(toxicity=0)),
        ("cruel", 40, _calm(toxicity=1)),
        ("tables", 40, _calm(context_injection=0, toxicity=0)),
        ("snippets", 20, _calm(context_injection=0, toxicity=0)),
        ("insults", 5, _calm(toxicity=1)),
        ("harsh_kind", 5, _calm(toxicity=0)),
        ("refusals", 30, {"refusal": 1, "harm": 0, "toxicity": 0}),
        ("answers", 40, {"refusal": 0, "harm": 0, "toxicity": 0}),
        ("prose", 10, _calm(toxicity=0, context_injection=0, refusal=0, harm=0)),
    ):
        made = [_filled(form, words, rng) for form in words[kind] for _ in range(times)]
        for text in dict.fromkeys(made):  # a set would come in another order in every process
            if kind == "overrides" and rng.random() < 0.3:  # hidden in an innocent document
                text = f"{rng.choice(words['prose'])} {text} {rng.choice(words['prose'])}"
            yield Row(text, "invented", labels)


def _passages(words: Mapping[str, Any], rng: random.Random) -> Iterator[Row]:
    """One to three sentences of a kind, sometimes among harmless ones."""
    for kinds in _TWINS:
        for at in range(_PASSAGES):
            forms = rng.sample(words[kinds[1 - at % 2]], rng.choice((1, 1, 2, 3)))
            lines = [_filled(form, words, rng) for form in forms]
            if rng.random() < 0.2:
                lines.insert(rng.randrange(len(lines) + 1), rng.choice(words["prose"]))
            yield Row(" ".join(lines), "passages", _calm(toxicity=at % 2))


def _documents(words: Mapping[str, Any], rng: random.Random) -> Iterator[Row]:
    """Whole documents of our own, every second one with an order between its lines."""
    for at in range(_DOCUMENTS):
        kind = rng.choice(("prose", "tables", "snippets"))
        lines = [_filled(rng.choice(words[kind]), words, rng) for _ in range(rng.randrange(2, 8))]
        if at % 2:
            order = rng.choice(words[rng.choice(("document_orders", "overrides"))])
            lines.insert(rng.randrange(len(lines) + 1), _filled(order, words, rng))
        text = rng.choice(("\n", " ", " | ")).join(lines)
        labels = {"context_injection": 1} if at % 2 else _calm(context_injection=0)
        yield Row(text, "invented", labels)


def _written(words: Mapping[str, Any], rng: random.Random) -> Iterator[Row]:
    """Documents of every kind without an attack, pieces of our own files, and short documents with
    an attack at some place."""
    writer = Writer(rng)
    for kind, files in KINDS.items():
        labels = _calm(**({"context_injection": 0} if kind in _CONTEXTS else {}))
        for _ in range(_WRITTEN):
            chars = int(_LEAST_CHARS * (_MOST_CHARS / _LEAST_CHARS) ** rng.random())
            mixed = rng.choice(tuple(KINDS.values())) if rng.random() < 0.1 else ()
            yield Row(writer.document(files + mixed, chars), kind, labels)
    for kind in repository.KINDS:
        for text in repository.pieces(kind, rng):
            yield Row(text, kind, _calm(context_injection=0))
    attacks = ("overrides", "overrides", "jailbreaks", "role_attacks")
    orders, contexts = ("document_orders", "overrides"), tuple(sorted(_CONTEXTS))
    for source, kinds, among, labels in (
        ("hidden_attacks", tuple(KINDS), attacks, {"jailbreak": 1, "injection": 1}),
        ("hidden_orders", contexts, orders, {"context_injection": 1}),
    ):
        for _ in range(_HIDDEN):
            size = rng.randrange(40, _AROUND_CHARS)
            lines = writer.document(KINDS[rng.choice(kinds)], size)[: size + 40].split("\n")
            attack = _filled(rng.choice(words[rng.choice(among)]), words, rng)
            lines.insert(rng.choice((0, len(lines), rng.randrange(len(lines) + 1))), attack)
            yield Row("\n".join(lines), source, labels)


def _helped(data: Path, words: Mapping[str, Any], rng: random.Random) -> Iterator[Row]:
    """Answers of our own that help with what a request asks, decline it, or warn of it."""
    asked = [row["prompt"].strip(" .") for row in read(data, "harmful_requests/advbench")]
    harmful = [re.sub(r"^.*\bhow to ", "", text[0].lower() + text[1:]) for text in asked]
    for verbs, harm, times in ((harmful, 1, 2), (words["kind_verbs"], 0, 25)):
        for verb in verbs:
            filled = {**words, "verbs": [verb]}
            helped, declined, warned = (
                [_filled(rng.choice(words[f"{kind}_forms"]), filled, rng) for _ in range(n)]
                for kind, n in (("helped", times), ("declined", 1), ("warned", harm))
            )
            for texts, labels in (
                (helped, {"harm": harm, "refusal": 0}),
                (declined, {"harm": 0, "refusal": 1}),
                (warned, {"harm": 0, "refusal": 0}),
            ):
                yield from (Row(text, "advbench_answers", labels) for text in texts)


def _filled(form: str, words: Mapping[str, Any], rng: random.Random) -> str:
    act = rng.choice(words["acts"])
    quote = rng.choice(words["overrides"]).format(act=act, Act=act.capitalize())
    slots = {"act": act, "Act": act.capitalize(), "quote": quote}
    slots |= {slot: str(rng.randrange(1, 2_100)) for slot in ("n", "n2")}
    for slot, key in _SLOTS.items():
        slots[slot] = rng.choice(words[key]) if key in words else ""
    return form.format(**slots).format(**slots)  # what fills a slot may have slots
