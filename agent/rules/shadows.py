"""Rules of candidates that are asked: a budget that is spent, and a breaker that is open."""

from agent.rules.rule import Alert, Group

# A bound of an hour that is spent before its middle leaves the other half of the day unseen.
_SPENT = "30m"
# The first tries come after 30 s and a minute: a restart of the endpoint is over by then.
_OPEN = "5m"

SHADOWS = Group(
    "vedette-shadow",
    (
        Alert(
            "VedetteShadowBudget", "warning",
            "asks of a candidate are refused for want of budget",
            "sum by (job, candidate) (increase("
            'vedette_shadow_unasked_total{reason="over_budget"}[15m])) > 0', _SPENT,
            "The budget of the candidate {{ $labels.candidate }} is spent",
            "{{ $value | humanize }} asks of the last 15 minutes were not made.",
            "No call is made beyond the budget, and the comparison speaks only of the hours that it"
            " lasts. 1. Run `vedette shadow --status -c vedette.yaml`: which bound is spent, and of"
            " what. 2. Lower the candidate's `rate` until the budget lasts the hour, or raise the"
            " bound.",
        ),
        Alert(
            "VedetteShadowBreaker", "warning",
            "a candidate fails, and is not asked meanwhile",
            "max by (job, candidate) (vedette_shadow_breaker_open_ratio) > 0", _OPEN,
            "The candidate {{ $labels.candidate }} fails and is not asked",
            "Its breaker is at {{ $value | humanize }}: 1 is open, 0.5 tries one call.",
            "Users notice nothing, and nothing is compared. 1. See in"
            " vedette_shadow_failures_total what fails; docs/asking.md explains the words. 2. Ask"
            " its endpoint by hand with the same key. It is tried by itself, at least every ten"
            " minutes; `vedette shadow --stop NAME --why WHY -c vedette.yaml` ends that.",
        ),
    ),
)  # fmt: skip
