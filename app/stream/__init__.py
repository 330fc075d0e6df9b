"""The loop: from the input topic to the answers, each input offset answered in exactly one committed transaction."""
