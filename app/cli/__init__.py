"""The command line: one file a noun, each thin: parse, build, call. Rooms are imported when a command needs them.

A command's parameters are its flags and its docstring is its help, so both are longer than those of other functions.
"""
