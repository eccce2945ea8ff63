"""The dashboards as data: what each panel asks of Prometheus and how it is read."""

from agent.durations import span
from agent.sla import CONDITIONS
from deploy.panels import (
    JOB,
    RATE,
    SERVED,
    Board,
    Panel,
    Query,
    flagged,
    mean,
    quantile,
    rate,
    score,
    top,
)

_ERRORS = (
    f"sum by (service) (rate(vedette_request_errors_total{{{SERVED}}}{RATE}))"
    f" / sum by (service) (rate(vedette_requests_total{{{SERVED}}}{RATE}))"
)

OVERVIEW = Board(
    "overview", "Vedette: overview", "Is it still good, safe and fast?",
    ("job", "service", "model"),
    (
        ("Now", (
            Panel("Calls", (Query(rate("vedette_requests_total", "service", SERVED),
                                  "{{service}}"),), "reqps", "Calls that users made.", "number", 6),
            Panel("Errors", (Query(_ERRORS, "{{service}}"),), "percentunit",
                  "The share of calls that failed or timed out.", "number", 6),
            Panel("Findings that ring", (Query(
                'sum by (kind) (max without (instance) (vedette_finding_state{state="firing",'
                'job=~"$job",service=~"$service"}))', "{{kind}}"),), "none",
                "Drift, burn rates, gaps and experiments.", "number", 6),
            Panel("Panes are closed through", (Query(
                f"time() - max by (source) (vedette_closed_through_timestamp_seconds{{{JOB}}})",
                "{{source}}"),), "s", "How old the newest tested pane is.", "number", 6),
        )),
        ("Traffic", (
            Panel("Calls by model", (Query(rate("vedette_requests_total", "model", SERVED),
                                           "{{model}}"),), "reqps"),
            Panel("Errors by model", (Query(_ERRORS.replace("(service)", "(model)"),
                                            "{{model}}"),), "percentunit"),
            Panel("Cost", (Query(rate("vedette_request_cost_usd_total", "model", SERVED)
                                 + " * 3600", "{{model}}"),), "currencyUSD", "In an hour."),
        )),
        ("Speed", (
            Panel("Latency, median and p95", tuple(
                Query(quantile(q, "vedette_request_latency_seconds", "model", SERVED),
                      "{{model}} " + word)
                for q, word in ((0.5, "median"), (0.95, "p95"))), "s"),
            Panel("Time to the first token, p95", (Query(quantile(
                0.95, "vedette_request_ttft_seconds", "model", SERVED), "{{model}}"),), "s"),
            Panel("Time per output token, median", (Query(quantile(
                0.5, "vedette_request_tpot_seconds", "model", SERVED), "{{model}}"),), "s"),
        )),
    ),
)  # fmt: skip

QUALITY = Board(
    "quality", "Vedette: quality and safety", "What the scorers say, by model and variant.",
    ("job", "service", "model", "variant"),
    (
        ("Quality", (
            score("response_relevance", "Relevance", "How near the answer is to the question."),
            score("response_groundedness", "Groundedness",
                   "Whether the contexts carry the answer."),
            score("response_refusal", "Refusal"),
            score("response_readability", "Readability"),
            score("response_repetition", "Repetition"),
            score("prompt_novelty", "Novelty of prompts", "Against a baseline that you learned."),
        )),
        ("Safety", (
            flagged("response_toxicity", "Toxic answers", "The share above the threshold."),
            flagged("prompt_toxicity", "Toxic prompts", "The share above the threshold."),
            flagged("prompt_jailbreak", "Jailbreak attempts", "The share above the threshold."),
            flagged("prompt_injection", "Injection attempts", "The share above the threshold."),
            flagged("response_pii", "Personal data in answers", "The share with any."),
            flagged("response_secrets", "Secrets in answers", "The share with any."),
        )),
        ("Every metric", (
            Panel("Mean of every score", (Query(mean("vedette_score_ratio", "metric"),
                                                "{{metric}}"),), "percentunit", width=12, most=1.0),
            Panel("What could not be scored", (Query(rate(
                "vedette_unscored_total", "metric, reason", JOB), "{{metric}}: {{reason}}"),),
                "cps", "Missing is counted by reason and never taken for a score.", width=12),
        )),
    ),
)  # fmt: skip

_SERVICE = 'job=~"$job",service=~"$service"'

SLA = Board(
    "sla", "Vedette: objectives and budgets", "What was promised, and how fast it is spent.",
    ("job", "service"),
    (
        ("Budgets", (
            Panel("Error budget left", (Query(
                top("vedette_slo_error_budget_remaining_ratio", "service, objective", _SERVICE),
                "{{service}} {{objective}}"),), "percentunit",
                "Of the objective's period; below 0 it is overspent.", "bars", 12),
            Panel("Target", (Query(
                top("vedette_slo_objective_ratio", "service, objective", _SERVICE),
                "{{service}} {{objective}}"),), "percentunit", "", "table", 12),
        )),
        ("Burn rates", tuple(
            Panel(f"Burn rate over {span(one.long_s)}", (Query(
                top("vedette_slo_burn_rate_ratio", "service, objective",
                     f'{_SERVICE},window="{span(one.long_s)}"'), "{{service}} {{objective}}"),),
                "none",
                f"With a budget of 30 days it rings at {one.factor(30):g} times the target's pace.",
                width=12)
            for one in CONDITIONS
        )),
        ("Budget over time", (
            Panel("Error budget left", (Query(
                top("vedette_slo_error_budget_remaining_ratio", "service, objective", _SERVICE),
                "{{service}} {{objective}}"),), "percentunit", width=24),
        )),
    ),
)  # fmt: skip

_TRIAL = 'job=~"$job",experiment=~"$experiment"'

EXPERIMENTS = Board(
    "experiments", "Vedette: experiments", "Is the candidate better? Valid at every look.",
    ("job", "experiment"),
    (
        ("Verdicts", (
            Panel("Verdict", (Query(
                top("vedette_experiment_verdict", "experiment, arm, metric, verdict", _TRIAL)
                + " == 1", "{{experiment}} {{arm}} {{metric}}: {{verdict}}"),), "none", "",
                "table", 12),
            Panel("Reasons to distrust it", (Query(
                top("vedette_experiment_invalid", "experiment, reason", _TRIAL) + " == 1",
                "{{experiment}}: {{reason}}"),), "none", "An empty table is good news.",
                "table", 12),
        )),
        ("Evidence", (
            Panel("Effect and its interval", (Query(
                top("vedette_experiment_effect_ratio", "arm, metric, bound", _TRIAL),
                "{{arm}} {{metric}} {{bound}}"),), "none",
                "Candidate less control; 0 within the interval decides nothing.", width=12),
            Panel("Evidence", (Query(
                top("vedette_experiment_evidence_nats", "arm, metric", _TRIAL),
                "{{arm}} {{metric}}"),), "none", "In nats: 3 are odds of 20 to 1.", width=12),
            Panel("Calls, pairs or units by arm", (Query(
                top("vedette_experiment_events", "arm", _TRIAL), "{{arm}}"),), "none",
                width=12),
            Panel("Tickets of candidates", (Query(
                top("vedette_shadow_tickets", "candidate, state", JOB),
                "{{candidate}} {{state}}"),), "none", width=12),
        )),
        ("Candidates in shadow", (
            Panel("Asked", (Query(rate("vedette_shadow_calls_total", "candidate, status", JOB),
                                  "{{candidate}} {{status}}"),), "reqps"),
            Panel("Not asked, by reason", (Query(rate(
                "vedette_shadow_skipped_total", "candidate, reason", JOB),
                "{{candidate}}: {{reason}}"),), "reqps"),
            Panel("Budget left", (Query(
                f"min by (candidate, bound) (vedette_shadow_budget_left_ratio{{{JOB}}})",
                "{{candidate}} {{bound}}"),), "percentunit", most=1.0),
        )),
    ),
)  # fmt: skip

DRIFT = Board(
    "drift", "Vedette: drift and findings", "Did something change?",
    ("job", "service"),
    (
        ("Findings", (
            Panel("What rings", (Query(
                top("vedette_finding_state", "kind, service, model, variant, segment, metric",
                     _SERVICE + ',state="firing"') + " == 1",
                "{{kind}} {{service}} {{model}} {{segment}} {{metric}}"),), "none", "",
                "table", 24),
        )),
        ("Evidence", (
            Panel("Evidence against its threshold", (Query(
                top("vedette_finding_statistic", "kind, model, segment, metric", _SERVICE)
                + " / " +
                top("vedette_finding_threshold", "kind, model, segment, metric", _SERVICE),
                "{{kind}} {{model}} {{segment}} {{metric}}"),), "percentunit",
                "At 100 % it rings.", width=12),
            Panel("How far it moved", (Query(
                top("vedette_finding_effect", "model, segment, metric, bound", _SERVICE),
                "{{model}} {{segment}} {{metric}} {{bound}}"),), "none",
                "The estimate and the ends of its interval.", width=12),
        )),
        ("Series out of their band", (
            Panel("Series that drift", (Query(
                "sum by (service, model) ("
                + top("vedette_drift_firing", "service, model, segment, metric", _SERVICE) + ")",
                "{{service}} {{model}}"),), "none", width=24),
        )),
    ),
)  # fmt: skip

PIPELINE = Board(
    "pipeline", "Vedette: pipeline", "Whether calls come, are read, counted and scored.",
    ("job",),
    (
        ("Now", (
            Panel("Ready workers", (Query(f"sum(vedette_ready{{{JOB}}})", "ready"),), "none", "",
                  "number", 6),
            Panel("Ledger gap", (Query(f"max(vedette_ledger_gap_calls{{{JOB}}})", "gap"),), "none",
                  "What was received less the sum of its ends: 0.", "number", 6),
            Panel("Unread records", (Query(
                f"sum by (topic) (vedette_consumer_lag_records{{{JOB}}})", "{{topic}}"),), "none",
                "", "number", 6),
            Panel("Dead letters, last hour", (Query(
                f"sum(increase(vedette_dead_letters_total{{{JOB}}}[1h]))", "letters"),), "none",
                "", "number", 6),
        )),
        ("Flow", (
            Panel("Records by outcome", (Query(rate("vedette_records_total", "outcome", JOB),
                                               "{{outcome}}"),), "cps"),
            Panel("Calls by outcome", (Query(rate("vedette_calls_total", "outcome", JOB),
                                             "{{outcome}}"),), "cps"),
            Panel("Dead letters by reason", (Query(rate(
                "vedette_dead_letters_total", "reason", JOB), "{{reason}}"),), "cps"),
            Panel("Lag by partition", (Query(
                top("vedette_consumer_lag_records", "topic, partition", JOB),
                "{{topic}} {{partition}}"),), "none"),
            Panel("Where the time goes", (Query(rate("vedette_stage_seconds_sum", "stage", JOB),
                                                "{{stage}}"),), "percentunit",
                  "Seconds of each stage in a second."),
            Panel("Calls in a flush, median", (Query(quantile(
                0.5, "vedette_flush_calls", "job", JOB), "{{job}}"),), "none"),
        )),
        ("What ought to stay at 0", (
            Panel("Lost, late, conflicting, misread, fenced", (
                Query(rate("vedette_records_lost_total", "topic", JOB), "lost of {{topic}}"),
                Query(rate("vedette_late_calls_total", "topic", JOB), "late of {{topic}}"),
                Query(rate("vedette_id_conflicts_total", "topic", JOB), "ids twice in {{topic}}"),
                Query(rate("vedette_unknown_field_calls_total", "service", JOB),
                      "unknown fields of {{service}}"),
                Query(f"sum(rate(vedette_offset_fenced_total{{{JOB}}}{RATE}))", "fenced")), "cps",
                width=12),
            Panel("Told to nobody", (
                Query(rate("vedette_alerts_failed_total", "way", JOB), "alerts by {{way}}"),
                Query(f"sum(rate(vedette_scored_unpublished_total{{{JOB}}}{RATE}))",
                      "scored calls"),
                Query(rate("vedette_label_overflow_total", "label", JOB), "labels of {{label}}")),
                "cps", width=12),
        )),
    ),
)  # fmt: skip

BOARDS = (OVERVIEW, QUALITY, SLA, EXPERIMENTS, DRIFT, PIPELINE)
