"""Real servers for the tests: Apache Kafka, PostgreSQL, and a proxy that breaks connections."""
