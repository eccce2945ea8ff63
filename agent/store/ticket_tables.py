"""The tables of what candidates are asked; `migrations.py` makes them."""

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, String, Table, Text

from agent.store.tables import META

# A question to a candidate, owed with its production call; states only move forward.
TICKET_STATES = (
    "owed", "reserved", "sent", "answered", "failed", "expired", "not_asked",
)  # fmt: skip
tickets = Table(
    "tickets",
    META,
    Column("key", LargeBinary(16), primary_key=True),
    Column("candidate", String(64), nullable=False),
    Column("probe", String(32), nullable=False, server_default=""),  # how the prompt was changed
    Column("source", String(128), nullable=False),
    Column("service", Text, nullable=False),
    Column("pair", String(128), nullable=False),  # the id of the production call
    Column("call_key", LargeBinary(16), nullable=False),
    Column("at", Float, nullable=False),  # when the production call began
    # 0 for one asked only for its stratum's sake: it counts in that segment alone.
    Column("common", Integer, nullable=False),
    # The segments whose rows its pair counts in, a JSON list; "" is the row of all calls.
    Column("counts_in", Text, nullable=False, server_default='[""]'),
    Column("model", Text, nullable=False, server_default=""),  # the candidate's
    Column("state", String(16), nullable=False),
    Column("why", String(32), nullable=False, server_default=""),
    Column("tokens", BigInteger, nullable=False, server_default="0"),  # reserved, then spent
    Column("microusd", BigInteger, nullable=False, server_default="0"),
    Column("expires_at", Float, nullable=False),
    Column("stored_at", Float, nullable=False),
)
Index("tickets_pane", tickets.c.source, tickets.c.at)
Index("tickets_state", tickets.c.state, tickets.c.expires_at)

# What candidates were asked and have cost: by the hour (its start), and in all (hour -1).
spent = Table(
    "spent",
    META,
    Column("candidate", String(64), primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in ("calls", "tokens", "microusd")),
)

# How many calls of a value of a segment a candidate is asked in the hour of their starts.
quotas = Table(
    "quotas",
    META,
    Column("candidate", String(64), primary_key=True),
    Column("segment", String(300), primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("stored_at", Float, nullable=False),  # of history the hour is long gone
)

# Candidates that a person stopped.
stops = Table(
    "stops",
    META,
    Column("candidate", String(64), primary_key=True),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("stored_at", Float, nullable=False),
)

# The states of the breakers, as the last dispatcher that saw one change has left them.
breakers = Table(
    "breakers",
    META,
    Column("candidate", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("who", Text, nullable=False),
    Column("stored_at", Float, nullable=False),
)

# How far the pairs of a source are made: to `closing.closed_through` where no ticket is out.
paired = Table(
    "paired",
    META,
    Column("source", String(128), primary_key=True),
    Column("paired_through", Float, nullable=False),
)

Index("tickets_stored_at", tickets.c.stored_at)  # by which retention deletes
