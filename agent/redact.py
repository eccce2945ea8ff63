"""Personal data and secrets in a text: where they are, and the text without them.

One set of patterns serves the PII and secrets scorers and everything that leaves the process.
Every pattern is linear in the text: a run of characters is tried from its start only, and what
repeats is possessive or bounded. Patterns begin with a set of characters, what must not stand
before comes after it: `re` skips to such a set, and tries a look-behind at every character.
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Kind = Literal["SECRET", "CARD", "IBAN", "EMAIL", "IP", "PHONE"]
Spans = Iterator[tuple[int, int]]

# Where two hits overlap they become one, of the kind that stands first here.
KINDS: tuple[Kind, ...] = ("SECRET", "CARD", "IBAN", "EMAIL", "IP", "PHONE")
PII: tuple[Kind, ...] = KINDS[1:]
SECRETS: tuple[Kind, ...] = KINDS[:1]

# A replacement can bring two harmless pieces together; random texts needed two rounds at most.
_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Hit:
    """One piece of a text, [start, end), that should not leave the process."""

    kind: Kind
    start: int
    end: int


def find(text: str, kinds: Collection[Kind] = KINDS) -> tuple[Hit, ...]:
    """All hits of these kinds, left to right, none overlapping another."""
    spans = [
        (start, end, rank)
        for rank, kind in enumerate(KINDS)
        if kind in kinds
        for start, end in _FINDERS[kind](text)
    ]
    merged: list[tuple[int, int, int]] = []
    for start, end, rank in sorted(spans):
        if merged and start < merged[-1][1]:
            first, last, best = merged[-1]
            merged[-1] = (first, max(last, end), min(best, rank))
        else:
            merged.append((start, end, rank))
    return tuple(Hit(KINDS[rank], start, end) for start, end, rank in merged)


def contains(text: str, kinds: Collection[Kind] = KINDS) -> bool:
    """Whether the text holds a hit of one of these kinds; stops at the first."""
    return any(True for kind in kinds for _ in _FINDERS[kind](text))


def redact(text: str) -> str:
    """The text with every hit replaced by its kind in brackets, such as `[EMAIL]`."""
    for _ in range(_ROUNDS):
        hits = find(text)
        if not hits:
            break
        pieces, at = [], 0
        for hit in hits:
            pieces += [text[at : hit.start], f"[{hit.kind}]"]
            at = hit.end
        text = "".join(pieces) + text[at:]
    return text


# `git@host:path` is how code names a repository, not a person.
_EMAIL = re.compile(r"(?<![\w.%+'-])(?!git@)[\w.%+'-]++@(?:[\w-]++\.){1,10}[^\W\d_]{2,24}")


def _emails(text: str) -> Spans:
    if "@" in text:
        yield from (match.span() for match in _EMAIL.finditer(text))


# Six digits with at most two light separators between, or three numbers with dots: a text
# without either holds no card, IBAN, phone or IPv4 address. Asked by each of the four finders.
_NUMERIC = re.compile(r"\d(?:(?:[ .\-()/\u00a0\u2011]{0,2}\d){5}|\d{0,2}\.\d{1,3}\.\d)")


@lru_cache(maxsize=1)
def _numeric(text: str) -> bool:
    return _NUMERIC.search(text) is not None


_CARD = re.compile(
    r"\d(?<![\d+].)(?:\d{11,18}(?!\d)"
    r"|\d{3}([ .\-\u00a0\u2011])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?(?!\d)"
    r"|\d{3}([ .\-\u00a0\u2011])\d{6}\2\d{4,5}(?!\d))"
)
# First digits of the issuers; twelve and thirteen digits are also order numbers and clocks in
# milliseconds, so there only Maestro, and for thirteen Visa, count.
_ISSUER = re.compile(r"[3-6]|2[2-7]|2131|1800")
_SHORT_ISSUER = re.compile(r"50[1-3]|5[6-9]|6304|67|4\d{12}")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others."""
    numbers = [int(digit) for digit in reversed(digits)]
    return (sum(numbers[::2]) + sum(_DOUBLED[number] for number in numbers[1::2])) % 10 == 0


def _cards(text: str) -> Spans:
    if not _numeric(text):
        return
    for match in _CARD.finditer(text):
        digits = "".join(filter(str.isdecimal, match[0]))
        issuer = _SHORT_ISSUER if len(digits) < 14 else _ISSUER
        if issuer.match(digits) and luhn(digits):
            yield match.span()


_IBAN = re.compile(r"(?i:[A-Z](?<![A-Z0-9].)[A-Z][0-9]{2}(?:[ -]?[A-Z0-9]){11,30}+)", re.ASCII)
# ISO 13616: the length of an IBAN by country.
_IBAN_TABLE = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 "
    "DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 "
    "GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 "
    "LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 "
    "PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 "
    "SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
_IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _IBAN_TABLE.split()}


def iban(letters: str) -> bool:
    """Whether these letters and digits have the length and the checksum of an IBAN."""
    if len(letters) != _IBAN_LENGTHS.get(letters[:2]):
        return False
    return int("".join(str(int(c, 36)) for c in letters[4:] + letters[:4])) % 97 == 1


def _ibans(text: str) -> Spans:
    if not _numeric(text):
        return
    for match in _IBAN.finditer(text):
        run = match[0].upper()
        places = [at for at, c in enumerate(run) if c not in " -"]
        length = _IBAN_LENGTHS.get(run[:2], len(places) + 1)
        # The words behind an IBAN were matched with it: the country says where it ends.
        if length <= len(places) and iban("".join(run[at] for at in places[:length])):
            yield match.start(), match.start() + places[length - 1] + 1


# Loopback, "any" and netmasks name nobody.
_IPV4 = re.compile(
    r"\d(?<![\w.].)(?!(?<=1)27\.|(?<=0)\.0\.0\.0|(?<=2)55\.255\.)"
    r"(?:(?<=2)(?:5[0-5]|[0-4]\d)|(?<=1)\d\d|\d?)"
    r"(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?!\w|\.\d)"
)
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}+(?![\w:])")


def _addresses(text: str) -> Spans:
    if _numeric(text):
        yield from (match.span() for match in _IPV4.finditer(text))
    if "::" in text or text.count(":") > 6:
        for match in _IPV6.finditer(text):
            named = sum(map(bool, match[0].split(":")))
            short = match[0].count("::") == 1 and ":::" not in match[0]
            if (short and 2 <= named < 8) or (named == 8 and match[0].count(":") == 7):
                yield match.span()


_PHONES = (
    # International, with its plus or double zero.
    re.compile(
        r"[+0](?<!\w.)(?:(?<=\+)|(?<=0)0(?=[1-9]))(?:[ .\-()/]{0,2}\d){8,15}+(?:x\d{1,5})?(?!\w)"
    ),
    # North American, grouped 3-3-4, with an extension.
    re.compile(
        r"[(\d](?<![\w.+\-/].)(?:(?<=\()\d{3}\) ?|(?<=\d)\d\d[ .-]"
        r"|(?:(?<=1)|(?<=0)01)[ .-](?:\(\d{3}\) ?|\d{3}[ .-]))\d{3}[ .-]\d{4}"
        r"(?:x\d{1,5})?(?!\w|[.-]\d)"
    ),
    # National with a trunk zero, 9 to 12 digits in groups; a date is none.
    re.compile(
        r"[(0](?<![\w.+\-/,:].)(?<!\d .)(?:(?<=\()0|(?<=0))(?!\d([./-])\d\d\1(?:19|20)\d\d)"
        r"(?=(?:[ .\-/()]{0,2}\d){8,11}(?![ .\-/]?\d))"
        r"\d{1,4}\)?(?:[ .\-/]\d{2,7}){1,4}+(?!\w)"
    ),
)
_NUMBER = re.compile(
    r"[(\d](?<![\w.+\-/,].)(?<!\d .)(?:(?<=\()\d|(?<=\d))(?:[ .\-()/]{0,2}\d){5,14}+"
    r"(?:x\d{1,5})?(?!\w)"
)
_CALLED = re.compile(
    r"(?i:phone|mobile|cell|\btel\b|\bfax\b|whatsapp|\bcall(?:ing|ed)?\b|\bdial|\bsms\b"
    r"|text (?:me|us)|\bring\b|reach (?:me|us|him|her|them))"
)
_OFFICE = re.compile(r"[ (]{0,2}(?i:phone|mobile|cell|fax|tel|office|work|home)\b")
_DATE = re.compile(r"\(?(?:19|20)\d\d[-/. ]")


def _phones(text: str) -> Spans:
    if not _numeric(text):
        return
    for pattern in _PHONES:
        yield from (match.span() for match in pattern.finditer(text))
    for match in _NUMBER.finditer(text):
        # A bare number is a phone only where 28 characters before or the word after say so.
        before = text[max(0, match.start() - 28) : match.start()]
        named = _CALLED.search(before) or _OFFICE.match(text, match.end())
        if named and not _DATE.match(match[0]):
            yield match.span()


# What must be in the lowered text for a pattern to be worth a search, the pattern, its group.
_KEYS = tuple(
    (needle, re.compile(pattern), 1 if "<value>" in pattern else 0)
    for needles, pattern in (
        ("akia|asia|abia|acca", r"(?<!\w)(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?!\w)"),
        ("gho_|ghp_|ghu_|ghs_|ghr_", r"(?<!\w)gh[opusr]_[A-Za-z0-9]{20,}+"),
        ("github_pat_", r"(?<!\w)github_pat_\w{22,}+"),
        ("glpat-", r"(?<!\w)glpat-[\w.-]{20,}+"),
        ("xox", r"(?<!\w)xox[abeoprs]-[A-Za-z0-9-]{10,}+"),
        ("hooks.slack", r"(?<=hooks\.slack\.com/services/)[\w/]{20,}+"),
        ("k_live_|k_test_|whsec_", r"(?<!\w)(?:[srp]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,}+"),
        ("sk-", r"(?<![\w-])sk-(?=[A-Za-z_-]{0,60}\d)[\w-]{20,}+"),
        ("hf_", r"(?<!\w)hf_[A-Za-z0-9]{30,}+"),
        ("aiza|ya29.|gocspx-", r"(?<!\w)(?:AIza[\w-]{35}|ya29\.[\w-]{20,}+|GOCSPX-[\w-]{20,}+)"),
        ("npm_|pypi-|sg.", r"(?<!\w)(?:npm_\w{36}|pypi-[\w-]{50,}+|SG\.[\w-]{16,}+\.[\w-]{16,}+)"),
        ("eyj", r"(?<![\w-])eyJ[\w-]{10,}+\.[\w-]{10,}+(?:\.[\w-]*+)?"),
        # A key without its end is cut at 10,000 characters: RSA 8192 is 6,400.
        (
            "private key",
            r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[^-]|-(?!----)){0,10000}+(?:-----END [A-Z0-9 ]{0,40}-----)?",
        ),
        ("://", r"://[^\s:/@\[\]'\"<>]{0,128}+:(?P<value>[^\s/@\[\]<>{}]{1,256}+)@"),
        (
            "bearer|authorization",
            r"(?i)\b(?:bearer|authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?basic) {1,3}"
            r"(?P<value>(?=[a-z._~+/=-]{0,60}\d)[\w.~+/=-]{16,}+)",
        ),
    )
    for needle in needles.split("|")
)
_NAMED = re.compile(
    # The first letter stands alone: the search skips to it, in half the time.
    r"[apstAPST](?i:(?<=p)(?:ass(?:word|wd|phrase|code)|wd|rivate[_-]?key)|(?<=a)(?:pi|ccess|ccount)"
    r"[_-]?key|(?<=s)ecret(?:[_-]?key)?|(?<=t)oken)[\"'`]?(?:\s{0,3}(?:=>|:=|[:=])\s{0,3}|\s{1,3}is:?\s{1,3})"
    r"(?:\"(?P<double>[^\"\n]{6,200})\"|'(?P<single>[^'\n]{6,200})'"
    r"|`?(?P<plain>[^\s\"'`,;&<>()\[\]{}]{6,200}+)(?![(\[]))"
)
_NAMES = (
    *("passw", "passp", "passc", "pwd", "apikey", "api_key", "api-key", "secret", "token"),
    *("accesskey", "access_key", "access-key", "accountkey", "account_key", "account-key"),
    *("privatekey", "private_key", "private-key"),
)
_PLACEHOLDER = re.compile(
    r"(?i:your|example|placeholder|changeme|redacted|xxx|\.\.\.|\*\*\*|env\b|getenv|password|passwd"
    r"|secret|token|api[_-]?key|string|required|optional|null|none|true|false|undefined|[$<{\[])"
)


def _is_value(match: re.Match[str]) -> bool:
    """Whether what a name was set to is a value, not a word of prose, code or a placeholder."""
    quoted = match["double"] or match["single"]
    value = quoted or match["plain"]
    if _PLACEHOLDER.search(value) or (quoted and " " in quoted):
        return False
    return bool(quoted) or any(map(str.isdigit, value))


def _secrets(text: str) -> Spans:
    low = text.lower()
    for needle, pattern, group in _KEYS:
        if needle in low:
            yield from (match.span(group) for match in pattern.finditer(text))
    for name in _NAMES:
        if name in low:
            for match in filter(_is_value, _NAMED.finditer(text)):
                yield match.span(match.lastgroup or 0)
            return


_FINDERS: dict[Kind, Callable[[str], Spans]] = {
    "SECRET": _secrets,
    "CARD": _cards,
    "IBAN": _ibans,
    "EMAIL": _emails,
    "IP": _addresses,
    "PHONE": _phones,
}
