"""Numbers that people act on: intervals, evidence, verdicts."""
