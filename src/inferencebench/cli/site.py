"""`inferencebench site` and `inferencebench serve`: results as pages."""

import contextlib
import sys
import tempfile
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferencebench.cli.common import JsonOption, notes, print_json, stderr, stdout

if TYPE_CHECKING:
    from inferencebench.site.build import Built

DirectoriesArgument = Annotated[list[Path], typer.Argument(help="Campaign directories (what --out named).")]


def site(
    directories: DirectoriesArgument,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Directory of the site; new, empty, or a site.", metavar="DIR")
    ],
    json: JsonOption = False,
) -> None:
    """Write a static site: leaderboard, a page per run, comparison of two runs, downloads. It opens without a server.

    Pages of runs that did not change since the last build stay as they are.

    Example: inferencebench site demo -o demo-site
    """
    from inferencebench.analysis.collect import collect, none_finished
    from inferencebench.site.progress import unfinished

    found = collect(directories)
    if not found.results and not unfinished(directories):
        notes(found.skipped)
        raise none_finished(directories)
    built = written(directories, out)
    if json:
        print_json({"index": str(built.front), "runs": built.runs, "written": built.written, "skipped": built.skipped})
    else:
        stdout().print(
            f"{built.runs} runs, {built.written} pages written: {built.front}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def written(directories: list[Path], out: Path) -> "Built":
    """Build with progress on stderr, and say what was skipped."""
    from rich.progress import Progress

    from inferencebench.site.build import build

    with Progress(console=stderr(), transient=True, disable=not stderr().is_terminal) as progress:
        task = progress.add_task("pages", total=None)
        built = build(directories, out, progressed=lambda done, of: progress.update(task, completed=done, total=of))
    notes(built.skipped)
    return built


def serve(
    directories: DirectoriesArgument,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 8377,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between looks for changes.")] = 2.0,
    json: JsonOption = False,
) -> None:
    """Serve the same site on this machine while a campaign runs; pages renew themselves. Ends with Ctrl-C.

    With --json the address is one line of JSON, {"url": …, "port": …}, written as soon as the server answers.

    Example: inferencebench serve demo
    """
    from inferencebench.site.live import HOST, Live, follow, open_server

    def say(text: str) -> None:
        notes([text])

    with tempfile.TemporaryDirectory(prefix="inferencebench-site-") as folder:
        out = Path(folder)
        live = Live(directories, out, say)
        notes(live.first().skipped)
        server = open_server(out, port)
        port = server.server_address[1]
        with contextlib.suppress(KeyboardInterrupt):
            _say_where(f"http://{HOST}:{port}/index.html", port, json=json)
            follow(live, server, every, say)


def _say_where(url: str, port: int, *, json: bool) -> None:
    if json:
        sys.stdout.write(dumps({"url": url, "port": port}) + "\n")
        sys.stdout.flush()
    else:
        stdout().print(url, highlight=False, markup=False)
