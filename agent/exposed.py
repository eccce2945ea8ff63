"""THE list of Prometheus series, as data, and both lists as the reference shows them."""

from dataclasses import dataclass
from typing import Literal

from agent.catalog import METRICS


@dataclass(frozen=True, slots=True)
class Series:
    """One Prometheus series; `name` is what the page shows, `metric` the metric of the
    catalogue that feeds it.

    A histogram's `buckets` are its upper bounds; objectives and thresholds are merged into them.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    unit: str
    help: str
    buckets: tuple[float, ...] = ()
    metric: str | None = None


_GROUP = ("service", "model", "variant")
# Of every kind of finding; an objective stands as the metric, a window as the segment.
_FINDING = ("kind", *_GROUP, "segment", "metric")
# Bounds of the serving engines (vLLM), so that both sides of a call can be laid over each other.
_LATENCY = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0,
            120.0, 240.0, 480.0, 960.0)  # fmt: skip
_TTFT = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
         40.0, 80.0, 160.0)  # fmt: skip
_TPOT = (0.002, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0,
         2.5, 5.0)  # fmt: skip
_TOKENS = (1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0,
           20000.0, 50000.0, 100000.0, 200000.0)  # fmt: skip
_SCORE = tuple(round(step * 0.05, 2) for step in range(1, 21))
_STAGE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
          30.0, 60.0)  # fmt: skip
_HTTP = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_FLUSH = (1.0, 5.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0)

SERIES: tuple[Series, ...] = (
    Series("vedette_requests_total", "counter", (*_GROUP, "status"), "requests",
           "Calls taken in, by how they ended: ok, error or timeout."),
    Series("vedette_request_errors_total", "counter", _GROUP, "requests",
           "Calls taken in that failed or timed out."),
    Series("vedette_request_latency_seconds", "histogram", _GROUP, "seconds",
           "From the start of the request to the end of the answer.", _LATENCY, "latency"),
    Series("vedette_request_ttft_seconds", "histogram", _GROUP, "seconds",
           "From the start of the request to the first token.", _TTFT, "ttft"),
    Series("vedette_request_tpot_seconds", "histogram", _GROUP, "seconds",
           "Time per output token after the first.", _TPOT, "tpot"),
    Series("vedette_request_input_tokens", "histogram", _GROUP, "tokens",
           "Tokens of the prompt.", _TOKENS, "tokens_in"),
    Series("vedette_request_output_tokens", "histogram", _GROUP, "tokens",
           "Tokens of the answer.", _TOKENS, "tokens_out"),
    Series("vedette_request_cost_usd_total", "counter", _GROUP, "usd",
           "Cost of the calls as their records state it.", (), "cost"),
    Series("vedette_score_ratio", "histogram", (*_GROUP, "metric"), "ratio",
           "Scores in [0, 1] of every metric of kind score.", _SCORE),
    Series("vedette_evaluations_total", "counter", (*_GROUP, "metric", "label"), "evaluations",
           "Calls that pass or fail a metric: flags, objectives and scores with a threshold."),
    Series("vedette_unscored_total", "counter", ("metric", "reason"), "calls",
           "Calls without a value of a metric, by reason."),
    Series("vedette_records_total", "counter", ("topic", "outcome"), "records",
           "Records read, by what became of them; the outcomes sum to what was received."),
    Series("vedette_calls_total", "counter", ("topic", "outcome"), "calls",
           "Calls found in records, by what became of them."),
    Series("vedette_dead_letters_total", "counter", ("reason",), "records",
           "Records set aside, by reason."),
    Series("vedette_dead_letters_dropped_total", "counter", (), "records",
           "Dead letters deleted because there were more bytes of them than the store may hold."),
    Series("vedette_store_filled_ratio", "gauge", ("part",), "ratio",
           "The part that is taken of the bytes that dead letters (dead_letters) and what waits to"
           " be scored without a broker (inbox) may take, as the closer reads it once a minute."),
    Series("vedette_scored_unpublished_total", "counter", (), "calls",
           "Stored calls that could not be published to the topic of scored calls."),
    Series("vedette_records_lost_total", "counter", ("topic",), "records",
           "Records that the broker had deleted before they were read."),
    Series("vedette_late_calls_total", "counter", ("topic",), "calls",
           "Scored calls that came too late for their pane and are counted beside it."),
    Series("vedette_id_conflicts_total", "counter", ("topic",), "calls",
           "Duplicates whose content differed from the first call of their id, which was kept."),
    Series("vedette_unknown_field_calls_total", "counter", ("service",), "calls",
           "Stored calls whose native record had a field that is not read, such as a mistyped one;"
           " it was left out."),
    Series("vedette_offset_fenced_total", "counter", (), "flushes",
           "Flushes rolled back because another worker had moved the offset."),
    Series("vedette_consumer_lag_records", "gauge", ("topic", "partition"), "records",
           "Records of a partition that are not yet committed."),
    Series("vedette_stage_seconds", "histogram", ("stage",), "seconds",
           "Time that a batch spent in a stage of the road, waiting apart from working.", _STAGE),
    Series("vedette_flush_calls", "histogram", (), "calls",
           "Calls written by one flush.", _FLUSH),
    Series("vedette_closed_through_timestamp_seconds", "gauge", ("source",), "seconds",
           "End of the last closed pane of a source."),
    Series("vedette_experiment_effect_ratio", "gauge", ("experiment", "arm", "metric", "bound"),
           "ratio", "Candidate minus control in the primary metric and the guardrails: estimate,"
           " and the lower and upper end that hold at every look."),
    Series("vedette_experiment_evidence_nats", "gauge", ("experiment", "arm", "metric"), "nats",
           "Logarithm of the odds that there is a difference."),
    Series("vedette_experiment_verdict", "gauge", ("experiment", "arm", "metric", "verdict"),
           "ratio", "1 at the verdict that holds: better, worse, equivalent, not_worse, not_yet or"
           " invalid."),
    Series("vedette_experiment_invalid", "gauge", ("experiment", "reason"), "ratio",
           "1 while nothing may be concluded because calls do not fall on the arms as configured"
           " (sample_ratio), a self-test found a difference (self_test) or the difference changed"
           " its sign (sign)."),
    Series("vedette_experiment_events", "gauge", ("experiment", "arm"), "events",
           "Calls, pairs or units that the primary metric of an experiment counts."),
    Series("vedette_drift_firing", "gauge", (*_GROUP, "segment", "metric"), "ratio",
           "1 while the mean of a series is out of its baseline's band, 0 once it is back."),
    Series("vedette_ledger_gap_calls", "gauge", (), "calls",
           "What was received less the sum of its ends, as the closer reads it in the store once a"
           " minute: 0 unless something was lost or invented."),
    Series("vedette_finding_state", "gauge", (*_FINDING, "state"), "ratio",
           "1 at the state of a finding: pending, firing, insufficient_data, could_not_tell, or"
           " resolved for 5 minutes; of 200 findings at most, critical ones and new ones first."),
    Series("vedette_finding_statistic", "gauge", _FINDING, "its kind's",
           "What is compared with the threshold: evidence in nats, or a burn rate."),
    Series("vedette_finding_threshold", "gauge", _FINDING, "its kind's",
           "Where the statistic begins to ring."),
    Series("vedette_finding_effect", "gauge", (*_FINDING, "bound"), "ratio",
           "How large it is: estimate, and the lower and upper end of its interval."),
    Series("vedette_alerts_sent_total", "counter", ("way",), "alerts",
           "Alerts that a webhook or the alerts topic has taken, each time that they were sent."),
    Series("vedette_alerts_failed_total", "counter", ("way",), "alerts",
           "Alerts that a webhook or the alerts topic did not take, at each attempt."),
    Series("vedette_slo_objective_ratio", "gauge", ("service", "objective"), "ratio",
           "The target of an objective: the share of calls that must meet it."),
    Series("vedette_slo_burn_rate_ratio", "gauge", ("service", "objective", "window"), "ratio",
           "How many times as many calls as the target allows breached the objective in a window."),
    Series("vedette_slo_error_budget_remaining_ratio", "gauge", ("service", "objective"), "ratio",
           "The part of the error budget of an objective's period that is left, negative where it"
           " is overspent."),
    Series("vedette_shadow_skipped_total", "counter", ("candidate", "reason"), "calls",
           "Calls that were drawn for a candidate and that it is not asked, by reason."),
    Series("vedette_shadow_tickets", "gauge", ("candidate", "state"), "tickets",
           "Tickets of the last 24 hours by state, once a minute: owed, reserved and sent are out;"
           " all together are the calls that were drawn and not skipped, and probes."),
    Series("vedette_shadow_calls_total", "counter", ("candidate", "status"), "calls",
           "Calls that a candidate was asked, by how they ended: ok, error or timeout."),
    Series("vedette_shadow_failures_total", "counter", ("candidate", "reason"), "calls",
           "Calls that a candidate was asked and that failed, by reason."),
    Series("vedette_shadow_unasked_total", "counter", ("candidate", "reason"), "asks",
           "Asks that came to no call, by reason, such as over_budget, stopped or breaker."),
    Series("vedette_shadow_undelivered_total", "counter", ("candidate",), "calls",
           "Answers of a candidate that nobody took: their tickets expire as failures."),
    Series("vedette_shadow_waiting_asks", "gauge", ("candidate",), "asks",
           "Asks that wait for a candidate."),
    Series("vedette_shadow_breaker_open_ratio", "gauge", ("candidate",), "ratio",
           "1 while a candidate is not asked because it failed, 0.5 while one call tries again."),
    Series("vedette_shadow_budget_left_ratio", "gauge", ("candidate", "bound"), "ratio",
           "The part that is left of a bound of a candidate's budget."),
    Series("vedette_ingest_calls_total", "counter", ("format", "outcome"), "calls",
           "Calls that were posted to the server and kept: accepted, or refused because they cannot"
           " be read and set aside."),
    Series("vedette_http_request_seconds", "histogram", ("route", "status"), "seconds",
           "From a request to the server to the end of its answer.", _HTTP),
    Series("vedette_open_panes", "gauge", (), "panes",
           "Panes that still take calls."),
    Series("vedette_label_overflow_total", "counter", ("label",), "values",
           "Times a label's value, or a group in a pane, was written as other: it had too many."),
    Series("vedette_ready", "gauge", (), "ratio",
           "1 when the process can do its work: its database and broker answer."),
    Series("vedette_last_progress_timestamp_seconds", "gauge", (), "seconds",
           "When the loop last completed a step."),
    Series("vedette_build_info", "gauge", ("version",), "info",
           "1, with the version that runs as a label."),
)  # fmt: skip


def reference_tables() -> str:
    """Both lists as Markdown tables, as the reference shows them."""
    metrics = [
        f"| `{row.name}` | {row.dimension} | {row.text} | {row.kind} | {row.unit} | {row.good} |"
        f" {'' if row.threshold is None else row.threshold} | {row.cost} | {row.help} |"
        for row in METRICS
    ]
    series = [
        f"| `{row.name}` | {row.kind} | {', '.join(row.labels)} | {row.unit} | {row.help} |"
        for row in SERIES
    ]
    head = "| metric | dimension | reads | kind | unit | good | flagged from | cost | what it is |"
    foot = "| series | kind | labels | unit | what it is |"
    tables = ([head, _rule(head), *metrics], [foot, _rule(foot), *series])
    return "\n\n".join("\n".join(table) for table in tables) + "\n"


def _rule(head: str) -> str:
    return "|" + "---|" * (head.count("|") - 1)
