"""What asking a target took: latencies and their quantiles, throughput, tokens, cost."""

from collections.abc import Sequence

import numpy as np

from abtest.exact import binomial
from agent.buckets import Floats
from agent.columns import record_columns
from agent.record import Call

QUANTILES = (0.5, 0.95, 0.99)
_TIMES = ("latency", "ttft", "tpot")
# A warm-up is left out where so many times its calls were asked.
_WORTH = 4


def measures(
    calls: Sequence[Call | None], concurrency: int | None = None, warm_up: int = 0
) -> dict[str, float]:
    """The measures of a target's calls, by name with the unit in it; what nobody stated has none.

    `concurrency` is how many questions were asked at once, None where the answers were recorded
    elsewhere: then nothing is said of throughput. The first `warm_up` calls count in the cost only:
    connections are opened and kernels made while they are asked; where they would be more than a
    quarter of all they count throughout, and `warm_up_calls` is 0.
    """
    asked = sorted((call for call in calls if call is not None), key=lambda call: call.at)
    left_out = warm_up if len(asked) >= _WORTH * warm_up else 0
    timed = [call for call in asked[left_out:] if call.status == "ok"]
    found = {"warm_up_calls": float(left_out)} | _times(timed)
    costs = [call.cost_usd for call in asked if call.cost_usd is not None]
    if costs:
        found["cost_usd"] = float(sum(costs))
    if concurrency is not None:
        found |= {"concurrency": float(concurrency)} | _rates(asked[left_out:])
    return found


def _times(calls: Sequence[Call]) -> dict[str, float]:
    columns = {one.metric: one.values for one in record_columns(calls)} if calls else {}
    found: dict[str, float] = {}
    for name in _TIMES:
        values = columns.get(name, np.empty(0))
        values = np.sort(values[~np.isnan(values)])
        if len(values):
            found[f"{name}_mean_s"] = float(values.mean())
            for p in QUANTILES:
                found |= _quantile(f"{name}_p{round(100 * p)}", values, p)
    return found


def _quantile(name: str, values: Floats, p: float, alpha: float = 0.05) -> dict[str, float]:
    """The p-quantile of sorted values and the ends of its interval, which holds for any
    distribution: David and Nagaraja 2003, Order Statistics, sec. 7.1. An end that so few values do
    not have is left out."""
    n = len(values)
    found = {f"{name}_s": float(np.quantile(values, p, method="inverted_cdf"))}
    at_most = np.cumsum(binomial(n, p))  # of k or fewer values below the quantile
    first = int((at_most <= alpha / 2).sum())
    last = int((at_most < 1 - alpha / 2).sum()) + 1
    if first >= 1:
        found[f"{name}_lower_s"] = float(values[first - 1])
    if last <= n:
        found[f"{name}_upper_s"] = float(values[last - 1])
    return found


def _rates(calls: Sequence[Call]) -> dict[str, float]:
    """Answers and their tokens a second of the time in which anything was asked: a run that was
    stopped and gone on with has a pause that is nobody's."""
    spans = [(call.at, call.at + call.latency_s) for call in calls if call.latency_s is not None]
    busy, until = 0.0, float("-inf")
    for began, ended in sorted(spans):
        busy += max(0.0, ended - max(began, until))
        until = max(until, ended)
    if busy <= 0:
        return {}
    answered = [call for call in calls if call.status == "ok" and call.latency_s is not None]
    found = {
        "calls_per_s": len(answered) / busy,
        "concurrency_mean": sum(ended - began for began, ended in spans) / busy,
    }
    tokens = [call.tokens_out for call in answered]
    told = [n for n in tokens if n is not None]
    # A rate of the tokens that some of the answers have would be too low.
    return found | ({"tokens_out_per_s": sum(told) / busy} if len(told) == len(tokens) else {})
