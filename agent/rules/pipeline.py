"""Rules of the pipeline itself: whether calls come, are read, counted and scored."""

from agent.rules.rule import PRODUCTION, Alert, Group, Record, grown

# A worker that its supervisor starts again is back by then, models included.
_DOWN = "5m"
# A fail-over of a database or a broker takes a minute or two; after that a person is needed.
_NOT_READY = "5m"
# At the last day's pace so many calls would have come: that none does is no chance. The median,
# because the mean of a day goes on for a day after one import of old calls.
_EXPECTED = 20
# Lag is told as the time that it takes to read: a number of records says nothing.
_BEHIND, _BEHIND_FOR = "5m", "10m"
# The gap is said once a minute: five looks that agree are no reading between two steps.
_GAP = "5m"
# The share from which what is left out can move a mean by as much as a finding is about.
_SHARE = 0.01
# A single odd record is for the list of dead letters and wakes nobody.
_FEWEST = 10
# The last fifth is a person's time to look; a minute's look that is passed by is no reason.
_FULL, _FULL_FOR = 0.8, "5m"

_BUILD = "vedette_build_info"
_KNOWN = f"last_over_time({_BUILD}[1d])"
_REQUESTS = f"vedette_requests_total{{{PRODUCTION}}}"
_PACE = "job_service:vedette_requests:rate5m"
_LETTERS, _READ = "job:vedette_dead_letters:increase15m", "job:vedette_records:increase15m"
_LATE, _SCORED = "job_topic:vedette_late_calls:increase1h", "job_topic:vedette_calls:increase1h"
_FAILED, _GIVEN = (
    f"job_metric:vedette_{what}:increase15m" for what in ("scorer_failures", "scores")
)
_LAG = "sum by (job, topic) (vedette_consumer_lag_records)"
_SPEED = "sum by (job, topic) (rate(vedette_records_total[5m]))"

_RECORDS = (
    Record(_PACE, f"sum by (job, service) (rate({_REQUESTS}[5m]))"),
    Record(_LETTERS, f"sum by (job) ({grown('vedette_dead_letters_total', '15m')})"),
    Record(_READ, "sum by (job) (increase(vedette_records_total[15m]))"),
    Record(_LATE, "sum by (job, topic) (increase(vedette_late_calls_total[1h]))"),
    Record(
        _SCORED, 'sum by (job, topic) (increase(vedette_calls_total{outcome="scored"}[1h]))'
    ),
    Record(
        _FAILED,
        "sum by (job, metric) ("
        + grown('vedette_unscored_total{reason="scorer_failed"}', "15m") + ")",
    ),
    Record(
        _GIVEN,
        "sum by (job, metric) (increase(vedette_score_ratio_count[15m]))"
        " or sum by (job, metric) (increase(vedette_evaluations_total[15m]))",
    ),
)  # fmt: skip

_ALIVE = (
    Alert(
        "VedetteDown", "critical",
        "no worker of a job can be scraped that had one within a day",
        f"count by (job) ({_KNOWN}) unless on (job) count by (job) ({_BUILD})", _DOWN,
        "Nobody monitors: no worker of {{ $labels.job }} can be scraped",
        "{{ $value | humanize }} were scraped within the last day and none is now.",
        "Records wait in Kafka, within its retention, and are read later; nothing else rings"
        " meanwhile. 1. Look at the exit code and the last lines of the workers: 2 is the"
        " configuration, 3 a dependency that is away, 70 the watchdog. 2. Run `vedette check -c"
        " vedette.yaml` where they run: it names what is not there.",
    ),
    Alert(
        "VedetteWorkerDown", "warning",
        "a worker does not answer that was scraped within a day",
        f"up == 0 and on (job, instance) {_KNOWN}", _DOWN,
        "Worker {{ $labels.instance }} of {{ $labels.job }} does not answer",
        "Its scrapes fail: up is {{ $value | humanize }}.",
        "The other workers take its partitions and are slower. 1. Look at its exit code and last"
        " lines; a process that hangs ends itself with 70. 2. Run `vedette check -c vedette.yaml`"
        " on its machine.",
    ),
    Alert(
        "VedetteNotReady", "critical",
        "a worker runs, but its database or broker does not answer",
        "vedette_ready == 0", _NOT_READY,
        "Worker {{ $labels.instance }} cannot work: its database or broker does not answer",
        "It is alive and vedette_ready is {{ $value | humanize }}; `/readyz` says why.",
        "Nothing is lost: records wait in Kafka. 1. Ask `/readyz` of the instance what is away."
        " 2. Run `vedette check -c vedette.yaml`: it tries the store, the broker and the topics.",
    ),
    Alert(
        "VedetteNoData", "critical",
        f"no call of a service for 15 minutes, where the last day's median pace gives {_EXPECTED}",
        f"quantile_over_time(0.5, {_PACE}[1d]) * <15m> >= {_EXPECTED}"
        f" unless sum by (job, service) (increase({_REQUESTS}[15m])) > 0", "0m",
        "No call of {{ $labels.service }} came in 15 minutes",
        "At the median pace of the last day {{ $value | humanize }} calls would have come.",
        "The service is down, its log does not reach Kafka, or nobody reads it. 1. See whether"
        " vedette_records_total grows for its topic; if not, whether vedette_consumer_lag_records"
        " does: then nobody reads, and else nothing is written. 2. If it grows, run `vedette"
        " dead-letters -c vedette.yaml`: a changed format sets all of them aside. For a service"
        " that was retired it ends by itself within half a day.",
    ),
    Alert(
        "VedetteLag", "warning",
        "more waits in a topic than is read in 5 minutes",
        f"{_LAG} > <{_BEHIND}> * ({_SPEED} or {_LAG} * 0)", _BEHIND_FOR,
        "Topic {{ $labels.topic }} is read more slowly than it is written",
        "{{ $value | humanize }} records wait, more than are read in 5 minutes.",
        "Scores, drift and alerts are late by as much. 1. Start more `vedette run`, at most as"
        " many as `vedette topics -c vedette.yaml` shows partitions. 2. See in"
        " vedette_stage_seconds which stage takes the time; a model may read a share of the calls"
        " (`scorers: {NAME: {rate: 0.1}}`).",
    ),
)  # fmt: skip

_LOSS = (
    Alert(
        "VedetteLedgerGap", "critical",
        "what was received is not the sum of its ends",
        "max by (job) (abs(vedette_ledger_gap_calls)) > 0", _GAP,
        "The ledger of {{ $labels.job }} does not sum",
        "{{ $value | humanize }} calls came to no end, or to two.",
        "Counts and means are wrong by as much: a defect, or somebody wrote to the store. 1. Keep"
        " the database as it is and note vedette_records_total and vedette_calls_total by outcome."
        " 2. See that all workers run one version (the label of vedette_build_info) and that"
        " `vedette check -c vedette.yaml` passes where they run: on one store. Then report it.",
    ),
    Alert(
        "VedetteRecordsLost", "critical",
        "the broker deleted records before they were read",
        f"sum by (job, topic) ({grown('vedette_records_lost_total', '15m')}) > 0", "0m",
        "Records of {{ $labels.topic }} were deleted before they were read",
        "{{ $value | humanize }} records expired unread within 15 minutes.",
        "Kafka does not have them any longer. 1. Raise `retention.ms` of the topic above the"
        " longest stop to be expected; `vedette topics -c vedette.yaml` names the topics. 2. If the"
        " service keeps its own log, `vedette send FILE -c vedette.yaml` brings the calls in.",
    ),
    Alert(
        "VedetteDeadLetters", "warning",
        f"{_SHARE:.0%} of the records of 15 minutes are set aside, {_FEWEST} at least",
        f"{_LETTERS} / {_READ} > {_SHARE} and {_LETTERS} >= {_FEWEST}", "0m",
        "Records that {{ $labels.job }} reads are set aside",
        "{{ $value | humanizePercentage }} of the records of the last 15 minutes.",
        "A producer writes what cannot be read; those calls are in no figure. 1. Run `vedette"
        " dead-letters -c vedette.yaml`: it shows reason and place of the newest. 2. Once the cause"
        " is mended, `vedette dead-letters --replay --reason REASON -c vedette.yaml` puts them back"
        " on their topic.",
    ),
    Alert(
        "VedetteStoreFilling", "warning",
        f"dead letters or the inbox take {_FULL:.0%} of the bytes that they may",
        f"max by (job, part) (vedette_store_filled_ratio) > {_FULL}", _FULL_FOR,
        "The store of {{ $labels.job }} fills up: {{ $labels.part }}",
        "{{ $value | humanizePercentage }} of its bytes are taken.",
        "Of dead letters the oldest will be dropped; a full inbox takes nothing more in until it is"
        " read. 1. Run `vedette dead-letters -c vedette.yaml`: it shows why the newest were set"
        " aside; mend the producer, or take its token away. 2. If they are to be kept, raise"
        " `store.dead_letter_bytes`; for the inbox see whether its server scores"
        " (vedette_consumer_lag_records), or raise `server.inbox_bytes`.",
    ),
    Alert(
        "VedetteLateCalls", "warning",
        f"{_SHARE:.0%} of the calls of an hour come too late for their pane, {_FEWEST} at least",
        f"{_LATE} / {_SCORED} > {_SHARE} and {_LATE} >= {_FEWEST}", "0m",
        "Calls of {{ $labels.topic }} come too late for their pane",
        "{{ $value | humanizePercentage }} of the calls of the last hour.",
        "They are scored and counted beside their pane, but drift and experiments do not see them."
        " 1. See whether a producer holds records back or its clock is wrong: compare `at` with the"
        " record's timestamp. 2. If answers take longer than `panes.request_timeout_s`, raise it"
        " and run `vedette check -c vedette.yaml`.",
    ),
    Alert(
        "VedetteLabelOverflow", "warning",
        "a label has more values than are shown apart",
        f"sum by (job, label) ({grown('vedette_label_overflow_total', '1h')}) > 0", "0m",
        "Label {{ $labels.label }} has too many values: new ones are shown as `other`",
        "{{ $value | humanize }} times within an hour.",
        "What is shown as `other` has no series and no alert of its own. 1. Run `vedette findings"
        " --series -c vedette.yaml`, or look at the page of metrics, for values that are odd: an id"
        " as a model or variant is the usual cause. 2. If they are right, raise"
        " `exporter.label_values_max`, or `panes.groups_max` where the label is `group of a pane`,"
        " and run `vedette check -c vedette.yaml`.",
    ),
    Alert(
        "VedetteScorerFailure", "warning",
        f"a scorer fails on {_SHARE:.0%} of its calls of 15 minutes, {_FEWEST} at least",
        f"{_FAILED} / ({_FAILED} + ({_GIVEN} or {_FAILED} * 0)) > {_SHARE}"
        f" and {_FAILED} >= {_FEWEST}", "0m",
        "The scorer of {{ $labels.metric }} fails",
        "It failed on {{ $value | humanizePercentage }} of its calls of the last 15 minutes.",
        "Those calls have no such score; their other scores are there. 1. Look in the workers' log"
        " for `failed on one call`. 2. Score such a call alone: `vedette score FILE --json -c"
        " vedette.yaml`; `scorers: {NAME: {enabled: false}}` turns the scorer off.",
    ),
)  # fmt: skip

PIPELINE = Group("vedette-pipeline", (*_RECORDS, *_ALIVE, *_LOSS))
