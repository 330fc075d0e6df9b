"""streaminfer: score every event of a Kafka topic once, with features that are right."""
