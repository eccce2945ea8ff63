"""Rules of what the answers are like: toxicity, and series that left their baselines."""

from agent.rules.rule import PRODUCTION, Alert, Group, Record

# Of kind texts the shipped head flags 6.2 % at most, in six of the seven sources of
# docs/heads.md; the seventh is tweets.
_TOXIC_SHARE = 0.1
_FEWEST_TOXIC = 10
# What the closer says goes on while another process takes over from it.
KEPT = "5m"

_RATED = "service:vedette_rated_answers:increase30m"
_TOXIC = "service:vedette_toxic_answers:increase30m"
_ANSWERS = 'vedette_evaluations_total{metric="response_toxicity",'

TOXICITY = Group(
    "vedette-toxicity",
    (
        Record(_RATED, f"sum by (service) (increase({_ANSWERS}{PRODUCTION}}}[30m]))"),
        Record(_TOXIC, f'sum by (service) (increase({_ANSWERS}label="fail",{PRODUCTION}}}[30m]))'),
        Alert(
            "VedetteToxicity", "critical",
            f"{_TOXIC_SHARE:.0%} of the answers of 30 minutes are flagged as toxic, {_FEWEST_TOXIC}"
            " at least",
            f"{_TOXIC} / {_RATED} > {_TOXIC_SHARE} and {_TOXIC} >= {_FEWEST_TOXIC}", "0m",
            "Answers of {{ $labels.service }} are toxic",
            "{{ $value | humanizePercentage }} of the answers of the last 30 minutes are flagged.",
            "Insults, threats, lewd or cruel answers reach people. 1. Run `vedette findings -c"
            " vedette.yaml`: it says which model and segment, and since when; prompt_jailbreak"
            " beside it says whether somebody provokes them. 2. Take that model or prompt out, and"
            " read some calls with `vedette score FILE --json -c vedette.yaml`.",
        ),
    ),
)  # fmt: skip

_SERIES = "service, model, variant, segment, metric"
DRIFT = Group(
    "vedette-drift",
    (
        Alert(
            "VedetteDrift", "warning",
            "the mean of a series is out of its baseline's band",
            f"max by ({_SERIES}) (last_over_time(vedette_drift_firing[{KEPT}])) == 1", "0m",
            "{{ $labels.metric }} of {{ $labels.service }} / {{ $labels.model }} left its baseline",
            "variant {{ $labels.variant }}, segment {{ $labels.segment }}:"
            " vedette_drift_firing is {{ $value | humanize }}.",
            "No false alarm, but for so many a year as `drift.false_alarms_per_year` allows over"
            " everything watched. 1. Run `vedette findings -c vedette.yaml`: since when, from what"
            " to what, and how sure. 2. Compare with what was deployed then: `vedette readout"
            " --between VARIANT@/TIME --between VARIANT@TIME/ -c vedette.yaml`. It ends when the"
            " series is back in its band.",
        ),
    ),
)  # fmt: skip
