"""How clients get in: what Kafka and Redis demand of them, and what they are allowed there.

Declared as settings, turned into what each client is told, tried at start, and printed as the rights that suffice.
"""
