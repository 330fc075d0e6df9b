"""The command line: one file a noun, each thin: parse, build, call. Rooms are imported when a command needs them."""
