"""The report of a run: a page, pictures, JSON and JUnit, all made of one analysis."""
