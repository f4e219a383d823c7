"""For fixtures that attack the sandbox: try something forbidden, and say whether it was stopped."""

from collections.abc import Callable

from front import say


def attempt(what: str, act: Callable[[], object]) -> None:
    """Do `act`, which raises (or finds nothing) where the wall holds."""
    try:
        act()
    except Exception as error:
        say(f"stopped: {what}: {type(error).__name__}")
    else:
        say(f"succeeded: {what}")
