"""Evaluation: the same scorers on datasets, with a report and a gate."""
