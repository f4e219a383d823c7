"""What an installed engine says its options are, held against a space."""

import re
import subprocess
from typing import NamedTuple

from inferencebench.errors import MissingError
from inferencebench.search.space import Space

HELP_S = 120.0


class Problem(NamedTuple):
    """Where a space and an engine's help differ."""

    parameter: str
    what: str


def installed_help(argv: list[str]) -> str:
    """The help of an installed engine. Raises MissingError when it does not print one."""
    last = ""
    # vLLM prints a list of groups unless it is asked for all.
    for command in ([*argv[:-1], f"{argv[-1]}=all"], argv):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=HELP_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MissingError(f"{' '.join(argv)}: {error}") from None
        if done.returncode == 0 and "--" in done.stdout:
            return done.stdout
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
    raise MissingError(f"{' '.join(argv)} prints no help: {last}")


def compare(space: Space, text: str) -> list[Problem]:
    """Flags that the help does not have, and values that are none of its choices."""
    choices: dict[str, set[str] | None] = {}
    for line in text.splitlines():
        head, brace, rest = line.partition("{")
        for flag in re.findall(r"--[a-z][\w-]*", head):
            listed = set(rest.partition("}")[0].split(",")) if brace else None
            choices[flag] = choices.get(flag) or listed
    problems = []
    for parameter in space.parameters:
        rendered = [parameter.arguments(choice) for choice in parameter.choices if choice is not None]
        for words in rendered:
            unknown = [word for word in words if word.startswith("--") and word not in choices]
            listed = choices.get(words[0]) if words else None
            if unknown:
                problems.append(Problem(parameter.name, f"{unknown[0]} is not an option"))
            elif listed and len(words) == 2 and words[1] not in listed:
                problems.append(Problem(parameter.name, f"{words[0]} does not take {words[1]}"))
    return list(dict.fromkeys(problems))
