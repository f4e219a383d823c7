"""Runs in, tables out: one function per table of the paper, whose docstring is the definition printed with it.

`registry.FAMILIES` holds them by name; every value carries the ids of the runs behind it; `render` writes them down.
"""
