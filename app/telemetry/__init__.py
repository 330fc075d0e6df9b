"""A run as seen from outside: metrics, health, logs and spans. Nothing here decides what is scored."""
