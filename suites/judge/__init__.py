"""A judge, asked: its rubrics, what it reads and says, and how far it can be believed."""
