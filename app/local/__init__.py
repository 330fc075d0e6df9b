"""A real Kafka and a real Redis on this machine: fetched, started, healed, stopped."""
