"""Figures of a run: exact, resampled and betting intervals, with scipy and sacrebleu as oracles."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import sacrebleu
from scipy import stats

from abtest.exact import clopper_pearson
from agent.record import NOT_MEANT, Call, Score, unscored
from suites.corpus import bleu_of, texts_of
from suites.intervals import CORPUS_BLEU, difference, figure
from suites.record import Outcome
from suites.resampling import betting, bootstrap
from suites.summary import lines_of
from suites.values import values_of
from tests.suites_data import made

WORDS = ("the", "a", "cat", "dog", "sat", "ran", "on", "mat", "3,5", "it's", "кот", "-", "end.")


def call(at: int, response: str | None = "yes", **told: object) -> Call:
    """One answered item."""
    return replace(Call(f"i{at}", 0.0, "m", response=response, reference="yes"), **told)  # type: ignore[arg-type]  # any field of a call


def outcome(metric: str, values: Sequence[float | None], *calls: Call | None) -> Outcome:
    """These values of these calls, or of calls of no interest."""
    scores = tuple(unscored("no_response") if v is None else Score(v) for v in values)
    return Outcome("t", "m", calls or tuple(map(call, range(len(values)))), {metric: scores})


def texts(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(0, 12))) for _ in range(n)]


def told(responses: list[str], references: list[str]) -> Outcome:
    pairs = enumerate(zip(responses, references, strict=True))
    return Outcome("t", "m", tuple(call(i, a, reference=b) for i, (a, b) in pairs), {})


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 40), (40, 40), (7, 40), (511, 1000)])
def test_the_exact_interval_is_that_of_the_beta_quantiles(hits: int, n: int) -> None:
    wanted = stats.binomtest(hits, n).proportion_ci(method="exact")
    assert clopper_pearson(hits, n) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    found = figure("exact_match", outcome("exact_match", [1.0] * hits + [0.0] * (n - hits)))
    assert (found.mean, found.n, found.method) == (hits / n, n, "exact")
    assert (found.lower, found.upper) == clopper_pearson(hits, n)


def test_the_bootstrap_is_the_bca_of_scipy() -> None:
    values = np.random.default_rng(3).beta(5, 1, 60)
    wanted = stats.bootstrap((values,), np.mean, n_resamples=50_000, rng=1, method="BCa")
    plain = stats.bootstrap((values,), np.mean, n_resamples=50_000, rng=1, method="percentile")
    found = figure("rouge1", outcome("rouge1", values.tolist()))
    ends = wanted.confidence_interval
    assert (found.lower, found.upper) == pytest.approx((ends.low, ends.high), abs=0.003)
    assert ends.low < plain.confidence_interval.low, "skewed: the two are not the same"


def test_the_bootstrap_covers_the_mean_of_a_skewed_score() -> None:
    rng, hits = np.random.default_rng(5), 0
    for seed in range(300):
        drawn = np.where(rng.random(40) < 0.7, 0.0, rng.random(40))
        rows = np.stack([drawn, np.ones(40)], 1)
        low, high = bootstrap(rows, lambda sums: sums[..., 0] / sums[..., 1], seed % 4)
        hits += low <= 0.15 <= high
    assert 0.92 <= hits / 300 <= 0.98


def test_few_or_equal_scores_are_not_taken_for_certain() -> None:
    equal = figure("rouge1", outcome("rouge1", [1.0] * 50))
    assert equal.method == "betting" and equal.upper == 1.0 and 0.8 < equal.lower < 0.95
    few = figure("rouge1", outcome("rouge1", [0.2, 0.9, 0.4]))
    assert few.method == "betting" and few.upper - few.lower > 0.5
    low, high = betting(np.array([0.2, 0.9, 0.4]), 0.0, 1.0)
    assert (few.lower, few.upper) == (low, high)
    same = difference("rouge1", outcome("rouge1", [0.5] * 50), outcome("rouge1", [0.5] * 50))
    assert same.mean == 0.0 and same.lower < -0.05 and same.upper > 0.05


def test_failed_calls_count_at_the_worst_end_and_the_best_stands_beside() -> None:
    calls = (*map(call, range(4)), call(4, None, status="error"), call(5, None, status="timeout"),
             None)  # fmt: skip
    good = figure("rouge1", outcome("rouge1", [0.5] * 4 + [None] * 3, *calls))
    assert (good.n, good.failed, dict(good.missing)) == (6, 2, {"not_asked": 1})
    assert good.mean == pytest.approx(2 / 6) and good.best == pytest.approx(4 / 6)
    bad = figure("response_pii", outcome("response_pii", [0.0] * 4 + [None] * 3, *calls))
    assert bad.mean == pytest.approx(2 / 6) and (bad.best, bad.method) == (0.0, "exact")
    endless = figure(
        "response_refusal", outcome("response_refusal", [0.0] * 4 + [None] * 3, *calls)
    )
    assert (endless.n, dict(endless.missing)) == (4, {"no_response": 2, "not_asked": 1})


def test_an_answer_without_a_text_is_a_bad_answer_and_harms_nobody() -> None:
    calls = (call(0), call(1, ""), call(2, " ", reference=" "))
    assert figure("rouge1", outcome("rouge1", [1.0, None, None], *calls)).mean == 0.5
    harmless = figure("response_pii", outcome("response_pii", [1.0, None, None], *calls))
    assert (harmless.n, harmless.mean) == (1, 1.0)


def test_what_an_item_is_not_meant_for_is_not_missing() -> None:
    scores = (Score(1.0), Score(None, "unscored", NOT_MEANT), Score(None, "invalid", "not_finite"))
    one = Outcome("t", "m", tuple(map(call, range(3))), {"rouge1": scores})
    found = figure("rouge1", one)
    assert (found.n, dict(found.missing)) == (1, {"not_finite": 1})
    assert dict(figure("rouge1", one, places=[0, 1]).missing) == {}
    nothing = figure("rouge1", one, places=[1])
    assert nothing.n == 0 and math.isnan(nothing.mean) and math.isnan(nothing.lower)


def test_a_session_is_resampled_whole() -> None:
    rng = np.random.default_rng(2)
    level = rng.random(40)
    values = np.repeat(level, 10).tolist()
    apart = outcome("rouge1", values)
    whole = outcome("rouge1", values, *(call(i, session=f"s{i // 10}") for i in range(400)))
    widths = [f.upper - f.lower for f in (figure("rouge1", apart), figure("rouge1", whole))]
    assert widths[1] > 2.5 * widths[0]
    one_each = figure("rouge1", outcome("rouge1", level.tolist()))
    assert widths[1] == pytest.approx(one_each.upper - one_each.lower)
    flags = outcome(
        "exact_match", [1.0, 0.0] * 200, *(call(i, unit=f"u{i % 50}") for i in range(400))
    )
    assert figure("exact_match", flags).method == "bootstrap"


def test_metrics_of_the_record_come_from_the_calls() -> None:
    calls = (*(call(i, latency_s=0.1 * (i + 1)) for i in range(9)), call(9))
    found = figure("latency", Outcome("t", "m", calls, {}))
    assert found.mean == pytest.approx(0.5) and 0.3 < found.lower < 0.5 < found.upper < 0.7
    assert dict(found.missing) == {"absent": 1}
    failed = figure("error", Outcome("t", "m", (call(0), call(1, status="error")), {}))
    assert (failed.mean, failed.method) == (0.5, "exact")
    unsaid = figure("feedback", Outcome("t", "m", (call(0), call(1, status="error")), {}))
    assert (unsaid.n, dict(unsaid.missing)) == (0, {"absent": 2}), "nobody was asked for feedback"


def test_differences_are_paired() -> None:
    rng = np.random.default_rng(4)
    hard = rng.random(200) * 0.8
    ours, theirs = outcome("rouge1", (hard + 0.1).tolist()), outcome("rouge1", hard.tolist())
    far = difference("rouge1", ours, theirs)
    assert far.mean == pytest.approx(0.1) and far.lower > 0.0
    noisy = outcome("rouge1", np.clip(hard + rng.normal(0.02, 0.02, 200), 0, 1).tolist())
    close = difference("rouge1", noisy, theirs)
    alone = figure("rouge1", noisy), figure("rouge1", theirs)
    assert 0 < close.lower < close.upper < 0.05
    assert alone[0].lower < alone[1].upper, "unpaired they overlap"
    back = difference("rouge1", theirs, noisy)
    assert (back.lower, back.upper) == pytest.approx((-close.upper, -close.lower), abs=2e-3)
    assert (
        difference("rouge1", noisy, theirs, seed=1) != close == difference("rouge1", noisy, theirs)
    )


def test_the_last_bits_of_a_number_put_nobody_ahead() -> None:
    ours, theirs = outcome("cost", [0.1 + 0.2] * 40), outcome("cost", [0.3] * 40)
    found = difference("cost", ours, theirs)
    assert (found.lower, found.mean, found.upper, found.best) == (0.0, 0.0, 0.0, 0.0)
    tiny = difference("cost", outcome("cost", [3.001e-7] * 40), outcome("cost", [3e-7] * 40))
    assert tiny.lower > 0.0, "little is not nothing"


def test_a_difference_counts_what_counts_on_both_sides() -> None:
    lost = call(1, None, status="error")
    ours = outcome("rouge1", [0.5, None, 0.5], call(0), lost, call(2))
    theirs = outcome("rouge1", [0.5, 0.4, None], call(0), call(1), None)
    found = difference("rouge1", ours, theirs)
    assert (found.n, found.failed, dict(found.missing)) == (2, 1, {"not_asked": 1})
    assert found.mean == pytest.approx(-0.2) and found.best == pytest.approx(0.3)


@pytest.mark.parametrize("seed", range(6))
def test_corpus_bleu_is_that_of_sacrebleu(seed: int) -> None:
    responses, references = texts(30, seed), [text or "x" for text in texts(30, seed + 100)]
    for n in (1, 2, 30):
        wanted = sacrebleu.corpus_bleu(responses[:n], [references[:n]]).score / 100
        found = figure(CORPUS_BLEU, told(responses[:n], references[:n]), seed)
        assert found.mean == pytest.approx(wanted, abs=1e-9)
        assert found.lower <= found.mean <= found.upper
    sums = texts_of(told(responses, references)).worst
    wanted_each = [
        sacrebleu.corpus_bleu([a], [[b]]).score / 100
        for a, b in zip(responses, references, strict=True)
    ]
    assert bleu_of(sums) == pytest.approx(wanted_each, abs=1e-9)


def test_corpus_bleu_counts_a_failed_call_as_nothing_said() -> None:
    lines = [f"a plain sentence of number {i} and more" for i in range(40)]
    perfect = told(lines, lines)
    assert figure(CORPUS_BLEU, perfect).mean == pytest.approx(1.0)
    calls = (*perfect.calls[:38], replace(lines_call(perfect, 38), response=None, status="error"),
             replace(lines_call(perfect, 39), reference=None))  # fmt: skip
    found = figure(CORPUS_BLEU, replace(perfect, calls=calls))
    assert found.mean == pytest.approx(math.exp(1 - 39 / 38)) and found.best == pytest.approx(1.0)
    assert (found.n, found.failed, dict(found.missing)) == (39, 1, {"no_reference": 1})
    worse = told([line[:-5] for line in lines], lines)
    fallen = difference(CORPUS_BLEU, worse, perfect)
    assert fallen.upper < 0 and fallen.mean == pytest.approx(
        figure(CORPUS_BLEU, worse).mean - figure(CORPUS_BLEU, perfect).mean
    )


def lines_call(one: Outcome, at: int) -> Call:
    found = one.calls[at]
    assert found is not None
    return found


def test_a_metric_that_nobody_scored_is_missing_everywhere() -> None:
    values = values_of(Outcome("t", "m", (call(0), None), {}), "rouge1")
    assert values.missing() == {"absent": 1, "not_asked": 1}


def test_changed_forms_of_an_item_are_not_independent() -> None:
    # Of 25 items each fifth flips, in all of its four forms.
    flips = [math.nan] * 25 + [float(at % 5 == 0) for at in range(25)] * 4
    run = made({"a": {"answer_flip": flips}}, twins={25 + at: at % 25 for at in range(100)})
    (found,) = (one.figure for one in lines_of(run) if one.figure.metric == "answer_flip")
    low, high = clopper_pearson(20, 100)
    assert (found.n, found.mean, found.method) == (100, 0.2, "betting")
    assert found.upper - found.lower > 1.5 * (high - low)


@pytest.mark.parametrize(("ours", "theirs"), [(3, 0), (5, 0), (6, 0), (7, 1), (8, 1), (0, 6)])
def test_few_pairs_that_differ_tell_no_more_than_the_exact_test(ours: int, theirs: int) -> None:
    rest = 100 - ours - theirs
    mine = [1.0] * ours + [0.0] * theirs + [1.0] * rest
    other = [0.0] * ours + [1.0] * theirs + [1.0] * rest
    found = difference("exact_match", outcome("exact_match", mine), outcome("exact_match", other))
    surely = stats.binomtest(ours, ours + theirs).pvalue < 0.05
    assert (found.lower > 0 or found.upper < 0) == surely
    assert found.lower < found.mean < found.upper and found.method == "adjusted"
