"""Timings on servers that they start themselves."""
