"""Asks the candidate the same question, off the user's path."""
