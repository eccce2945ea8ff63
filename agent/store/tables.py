"""The tables; `migrations.py` makes them."""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

META = MetaData()
BIG = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only in an INTEGER key

# Where each source partition stands and what became of its records and calls. One row, so that
# the position and the two ledgers cannot part.
RECORD_OUTCOMES = ("parsed", "skipped", "unreadable_records", "quarantined")
CALL_OUTCOMES = (
    "scored", "invalid", "filtered", "sampled_out", "shed", "failed", "duplicate", "joined",
    "feedback",
)  # fmt: skip
LEDGER = ("received", *RECORD_OUTCOMES, "found", *CALL_OUTCOMES, "lost", "late", "conflicts")

offsets = Table(
    "offsets",
    META,
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("source", String(128), nullable=False),
    Column("next", BigInteger, nullable=False),  # -1 before anything was read
    Column("topic_id", String(64)),
    Column("read_through", Float),
    Column("caught_up_at", Float),
    Column("worker", String(128)),
    *(Column(name, BigInteger, nullable=False, server_default="0") for name in LEDGER),
)

# The record being worked on, committed before the work starts: a crash leaves it behind.
attempts = Table(
    "attempts",
    META,
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, nullable=False),
    Column("size", Integer, nullable=False),
    Column("n", Integer, nullable=False),
)

seen = Table(
    "seen",
    META,
    Column("key", LargeBinary(16), primary_key=True),
    Column("content", BigInteger, nullable=False),
    Column("stored_at", Float, nullable=False),
    sqlite_with_rowid=False,
)

calls = Table(
    "calls",
    META,
    Column("key", LargeBinary(16), primary_key=True),
    Column("id", String(128), nullable=False),
    Column("at", Float, nullable=False),
    Column("arrival", Float, nullable=False),
    Column("service", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("segment", Text, nullable=False),
    Column("unit", Text),
    Column("session", Text),
    Column("origin", String(16), nullable=False),
    Column("pair", Text),
    Column("status", String(16), nullable=False),
    Column("prompt_hash", LargeBinary(16)),
    Column("prompt_chars", Integer),
    Column("response_hash", LargeBinary(16)),
    Column("response_chars", Integer),
    Column("scores", Text, nullable=False),  # {"metric": value, "why": {"metric": word}}
    Column("topic", String(249), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("stored_at", Float, nullable=False),
    # With a rowid: without, SQLite gives each row of more than 1,000 bytes pages of its own.
)
Index("calls_id", calls.c.id)
Index("calls_unit", calls.c.unit)
BY_TIME = Index("calls_at", calls.c.at)
BY_PAIR = Index("calls_pair", calls.c.pair)

texts = Table(
    "texts",
    META,
    Column("key", LargeBinary(16), primary_key=True),
    Column("prompt", Text),
    Column("response", Text),
    Column("stored_at", Float, nullable=False),
)

_GROUP = ("service", "model", "variant", "segment")

open_panes = Table(
    "open_panes",
    META,
    Column("pane", BigInteger, primary_key=True),
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True),
    *(Column(name, String(256), primary_key=True) for name in _GROUP),
    Column("source", String(128), nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("summaries", LargeBinary, nullable=False),
)
Index("open_panes_partition", open_panes.c.topic, open_panes.c.partition)

# Closed panes, merged over partitions; level_s is 10, 60 or 3600; late rows are hours.
panes = Table(
    "panes",
    META,
    Column("level_s", Integer, primary_key=True),
    Column("pane", BigInteger, primary_key=True),
    Column("source", String(128), primary_key=True),
    *(Column(name, String(256), primary_key=True) for name in _GROUP),
    Column("late", Integer, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("summaries", LargeBinary, nullable=False),
    Column("closed_at", Float, nullable=False),
)
BY_START = Index("panes_by_start", panes.c.late, panes.c.pane)

closing = Table(
    "closing",
    META,
    Column("source", String(128), primary_key=True),
    Column("closed_through", Float, nullable=False),
)

leases = Table(
    "leases",
    META,
    Column("name", String(64), primary_key=True),
    Column("holder", String(128), nullable=False),
    Column("until", Float, nullable=False),
)

halves = Table(
    "halves",
    META,
    Column("key", String(128), primary_key=True),
    Column("side", String(8), nullable=False),
    Column("body", LargeBinary, nullable=False),  # redacted call and the scores already taken
    Column("deadline", Float, nullable=False),
    Column("topic", String(249), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("arrival", Float, nullable=False),
)

dead_letters = Table(
    "dead_letters",
    META,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("topic", String(249), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("last_offset", BigInteger, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("arrival", Float, nullable=False),
    Column("record_key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", LargeBinary),
    Column("attempts", Integer, nullable=False),
    Column("stored_at", Float, nullable=False),
    Column("sent_at", Float),
    Column("replayed_at", Float),
    sqlite_autoincrement=True,
)

# Raw bytes taken in without a broker: read as a topic with one partition.
inbox = Table(
    "inbox",
    META,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("arrival", Float, nullable=False),
    Column("value", LargeBinary),
    # As which format it was taken in; NULL where the configuration says how all is read.
    Column("format", String(16)),
    # The bytes of all records up to this one: what waits is the difference of two rows.
    Column("through", BigInteger),
    sqlite_autoincrement=True,
)

# The versions of the metrics that a worker gave, by the digest that stands in its panes.
panels = Table(
    "panels",
    META,
    Column("digest", String(16), primary_key=True),
    Column("versions", Text, nullable=False),  # {"metric": "version"}
)

# What entered a comparison once and must not again: a pair, a unit in an experiment or a day.
entered = Table(
    "entered",
    META,
    Column("key", LargeBinary(16), primary_key=True),
    Column("stored_at", Float, nullable=False),
    sqlite_with_rowid=False,
)

# The sums of each run of an experiment, and the pane of each source that they have reached.
runs = Table(
    "runs",
    META,
    Column("experiment", String(64), primary_key=True),
    Column("run", Integer, primary_key=True),
    Column("version", Integer, nullable=False),  # moves with every change, by compare-and-set
    Column("body", LargeBinary, nullable=False),
    Column("stored_at", Float, nullable=False),
)

# What the watch over each source knows, and the pane that it has reached.
watches = Table(
    "watches",
    META,
    Column("source", String(128), primary_key=True),
    Column("series", Integer, nullable=False),  # the slots that it takes of those of all sources
    Column("version", Integer, nullable=False),  # moves with every change, by compare-and-set
    Column("body", LargeBinary, nullable=False),
    Column("stored_at", Float, nullable=False),
)

# The baselines that ranks need, large and seldom changed.
baselines = Table(
    "baselines",
    META,
    Column("source", String(128), primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("stored_at", Float, nullable=False),
)

# Who decided that a level is normal, and why.
rebaselines = Table(
    "rebaselines",
    META,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("source", String(128), nullable=False),
    Column("stored_at", Float, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("body", Text, nullable=False),  # which series, how many, from which period
    sqlite_autoincrement=True,
)

# What was found, and the state that the alerts topic was last told of; a row until it ends and
# begins anew. `name` is JSON, and so is `body`, the whole finding.
findings = Table(
    "findings",
    META,
    Column("source", String(128), primary_key=True),
    Column("key", LargeBinary(16), primary_key=True),
    Column("kind", String(24), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("state", String(24), nullable=False),
    Column("began", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("told", String(24)),
    Column("stored_at", Float, nullable=False),
)
Index("findings_state", findings.c.state, findings.c.stored_at)

# Texts of calls that are far out of what is known, redacted, where that was asked for.
examples = Table(
    "examples",
    META,
    Column("key", LargeBinary(16), primary_key=True),
    Column("call_key", LargeBinary(16), nullable=False),
    Column("topic", String(249), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("pane", BigInteger, nullable=False),
    Column("metric", String(64), nullable=False),
    Column("id", String(128), nullable=False),
    *(Column(name, Text, nullable=False) for name in _GROUP),
    Column("value", Float, nullable=False),
    Column("text", Text, nullable=False),
    Column("stored_at", Float, nullable=False),
)
Index("examples_pane", examples.c.pane)

for _table in (examples, seen, calls, texts, dead_letters, entered):
    Index(f"{_table.name}_stored_at", _table.c.stored_at)  # by which retention deletes
