"""Real servers for the tests: Apache Kafka, PostgreSQL, Prometheus, Alertmanager, and a proxy that
breaks connections."""
