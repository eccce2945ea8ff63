"""Compliance: privacy, licences, rules of output and documentation, each with its evidence."""
