"""`inferencebench`: one verb per module. Exit codes: 0 done, 1 a bug, 2 bad input, 3 something is missing here."""

import errno
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import typer

from inferencebench import __version__
from inferencebench.cli import (
    agents,
    audit,
    baseline,
    campaign,
    compare,
    demo,
    doctor,
    export,
    importing,
    measure,
    prompt,
    rescore,
    results,
    run,
    site,
    spaces,
    suites,
    sweep,
    tables,
    trace,
    tune,
)
from inferencebench.cli.common import EXIT_INTERRUPTED, end_on_sigterm, plain_help, stderr
from inferencebench.errors import BenchError

PROGRAM = "inferencebench"
EXIT_INPUT, EXIT_MISSING = 2, 3


class Mendable(NamedTuple):
    """An error of the file system that a user can mend."""

    exit_code: int
    remedy: str


OS_ERRORS = {
    errno.ENOSPC: Mendable(EXIT_MISSING, "make room, or name another place"),
    errno.EDQUOT: Mendable(EXIT_MISSING, "make room, or name another place"),
    errno.EROFS: Mendable(EXIT_MISSING, "name a place that can be written to"),
    errno.EACCES: Mendable(EXIT_INPUT, "name a place that this user may read and write"),
    errno.EPERM: Mendable(EXIT_INPUT, "name a place that this user may read and write"),
    errno.ENOENT: Mendable(EXIT_INPUT, "nothing can be made there: name a directory that can be made"),
    errno.ENOTDIR: Mendable(EXIT_INPUT, "a file is in the way: name a directory that can be made"),
    errno.EEXIST: Mendable(EXIT_INPUT, "it is no directory: name another"),
    errno.EISDIR: Mendable(EXIT_INPUT, "a file belongs there: move it away, or name another place"),
    errno.ENAMETOOLONG: Mendable(EXIT_INPUT, "give a shorter name"),
    errno.ELOOP: Mendable(EXIT_INPUT, "links lead in a circle: name another place"),
}
"""Any other is a bug; so is a file that is missing (ENOENT), where others can be made beside it."""

app = typer.Typer(
    name=PROGRAM,
    help="Can an autonomous agent make an LLM server fast? Run agents, engines and scripts under a budget, measure "
    "what they leave behind, and rank it over a PyTorch baseline.",
    epilog="Example: inferencebench demo --out demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.add_typer(suites.app, name="suites")
app.add_typer(agents.app, name="agents")
app.command("run")(run.run)
app.command("prompt")(prompt.prompt)
app.command("baseline")(baseline.baseline)
app.add_typer(campaign.app, name="campaign")
app.command("measure")(measure.measure)
app.command("sweep")(sweep.sweep)
app.command("compare")(compare.compare)
app.command("import")(importing.import_result)
app.command("results")(results.results)
app.command("tables")(tables.tables)
app.command("trace")(trace.trace)
app.command("site")(site.site)
app.command("serve")(site.serve)
app.command("rescore")(rescore.rescore)
app.add_typer(export.app, name="export")
app.add_typer(spaces.app, name="spaces")
app.command("tune")(tune.tune)
app.command("audit")(audit.audit)
plain_help(app)


def _version(shown: bool) -> None:
    if shown:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options before the verb."""


def main() -> None:
    """Run the command line; errors that a user can mend are one line on stderr."""
    end_on_sigterm()
    code = _exit_code()
    if code == EXIT_INTERRUPTED:
        _say("interrupted; the same command continues where it was")
    sys.exit(code)


def _exit_code() -> int:
    try:
        code = app(prog_name=PROGRAM, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except BenchError as error:
        _say(str(error))
        return error.exit_code
    except OSError as error:
        known = OS_ERRORS.get(error.errno or 0)
        if known is None or (error.errno == errno.ENOENT and not _barren(Path(str(error.filename)).parent)):
            raise
        _say(f"{error.filename or 'file system'}: {error.strerror}; {known.remedy}")
        return known.exit_code
    except Exception as error:
        # Usage errors of click, of which typer carries a copy of its own in some versions.
        if not hasattr(error, "format_message"):
            raise
        _say(_usage(error))
        return EXIT_INPUT


def _usage(error: Any) -> str:
    """What is wrong with the words of a command, and whose help says what would be right."""
    context = getattr(error, "ctx", None)
    text = error.format_message().replace("Value error, ", "").rstrip(".")
    return f"{text or 'name a command'}; see `{context.command_path if context else PROGRAM} --help`"


def _barren(folder: Path) -> bool:
    """Whether it is a directory in which nothing can be made, such as /proc."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return False
    except OSError:
        return folder.is_dir()


def _say(text: str) -> None:
    line = " ".join(text.split())
    stderr().print(f"inferencebench: {line}", style="red", highlight=False, markup=False, soft_wrap=True)
