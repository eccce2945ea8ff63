"""What the report is made of: its template, its style and the geometry of its figures."""
