"""The pure core: records, scores, summaries, panes and the store; no Kafka and no HTTP."""
