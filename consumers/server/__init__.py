"""The HTTP server: pages, their numbers as JSON, ingest and evaluation on request."""
