"""Verbs that do one of several things by an option: which one it is, and which other options go with it."""

from collections.abc import Mapping, Sequence

import typer

from inferencebench.errors import UserError


def given(context: typer.Context) -> list[str]:
    """The options that stand on the command line, by their long names."""
    sources = ((param, context.get_parameter_source(param.name or "")) for param in context.command.params)
    words = (next((o for o in p.opts if o.startswith("--")), None) for p, s in sources if s and s.name == "COMMANDLINE")
    return [word for word in words if word is not None]


def mode(context: typer.Context, modes: Sequence[str], goes_with: Mapping[str, Sequence[str]]) -> str | None:
    """Which of `modes` was asked for, if any.

    Raises UserError for two of them, and for an option that goes with another: it would say nothing."""
    words = given(context)
    named = [word for word in modes if word in words]
    if len(named) > 1:
        raise UserError(f"{' and '.join(named)}: one at a time")
    chosen = named[0] if named else None
    for word in words:
        if chosen not in (others := goes_with.get(word, (chosen,))):
            raise UserError(f"{word}: goes with {' or '.join(map(str, others))} only; add that, or leave {word} out")
    return chosen
