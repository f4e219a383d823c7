"""The contract of every verb: help with an example, JSON for machines, and one line for bad input."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from inferencebench import __version__
from inferencebench.cli import main
from inferencebench.cli.main import app
from tests.run.records import result

COMMAND = [sys.executable, "-m", "inferencebench"]


def run(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    argv = [*COMMAND, *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, env=os.environ | env, check=False)


def refused(*words: object, **env: str) -> str:
    """The one line of a command that ends with exit code 2."""
    done = run(*words, **env)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("inferencebench: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def verbs() -> Iterator[tuple[str, ...]]:
    """Every verb, also those of groups such as `suites list`."""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        yield from ((name, sub) for sub in below) if below else ((name,),)


@pytest.mark.parametrize("verb", list(verbs()), ids=" ".join)
def test_help_has_an_example_that_names_the_verb(verb: tuple[str, ...]) -> None:
    done = run(*verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Example: inferencebench {' '.join(verb)}" in " ".join(done.stdout.split())
    assert "<bool>" not in done.stdout, "a switch takes no value"


def test_the_version() -> None:
    assert run("--version").stdout == f"{__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    script = Path(sys.executable).with_name("inferencebench")
    variable = "_INFERENCEBENCH_COMPLETE"

    def complete(**env: str) -> str:
        return subprocess.run([script], capture_output=True, text=True, env=os.environ | env, check=True).stdout

    assert variable in complete(**{variable: f"source_{shell}"})
    line = {"COMP_WORDS": "inferencebench res", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "inferencebench res"}
    offered = complete(**{variable: f"complete_{shell}"}, **line, _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert "results" in offered
    assert "suites" not in offered


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """One finished run."""
    return store(tmp_path / "c1", "a")


def store(root: Path, agent: str, name: str = "run") -> Path:
    """A campaign directory with one more finished run."""
    folder = root / "tiny" / name
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text("{}")
    (folder / "result.json").write_text(result(agent=agent).model_dump_json())
    return root


def test_json_output_is_json(campaign: Path) -> None:
    suites = json.loads(run("suites", "list", "--json").stdout)
    assert {"name", "title", "model", "hardware"} == set(suites[0])
    assert json.loads(run("suites", "show", "laptop", "--json").stdout)["suite"]["name"] == "laptop"
    board = json.loads(run("results", campaign, campaign / "tiny", "--json").stdout)
    assert [(c["agent"], c["n"]) for c in board["cells"]] == [("a", 1)]
    assert [a["rank"] for a in board["agents"]] == [1]


def test_results_refuses_to_pool_two_runs_of_one_cell(campaign: Path, tmp_path: Path) -> None:
    other = store(tmp_path / "c2", "a")
    record = other / "tiny" / "run" / "result.json"
    record.write_text(result(agent="a", speedup=9.0).model_dump_json())
    line = refused("results", campaign, other)
    assert str(campaign) in line
    assert str(other) in line


@pytest.mark.parametrize("name", ["x[/]", "x[/bold]", "[red]x", "x\\"])
def test_names_that_look_like_markup_are_shown_as_they_are(tmp_path: Path, name: str) -> None:
    done = run("results", store(tmp_path, name))
    assert done.returncode == 0, done.stderr
    assert f" {name} " in done.stdout


def test_paths_of_the_wrong_kind_are_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "salted" / ".salt").mkdir(parents=True)
    for out, why in {
        "file/below": "Not a directory; a file is in the way",
        "n" * 300: "name too long; give a shorter name",
        "loop/below": "Too many levels of symbolic links; links lead in a circle",
        "salted": "Is a directory; a file belongs there",
    }.items():
        assert why in refused("run", "laptop-mini", "decode", "engine:pytorch", "--out", tmp_path / out)


def test_a_place_where_nothing_can_be_made_is_bad_input(campaign: Path, tmp_path: Path) -> None:
    remedy = "nothing can be made there: name a directory that can be made"
    for words in (
        ("site", campaign, "-o", "/proc/nope"),
        ("export", "harbor", "laptop", "decode", "-o", "/proc/nope"),
        ("audit", "--sample", 1, "--blind", campaign, "--sheet", "/proc/nope"),
    ):
        assert remedy in refused(*words)
    (tmp_path / "file").write_text("")
    assert "File exists; it is no directory: name another" in refused("site", campaign, "-o", tmp_path / "file")


def test_a_file_that_is_missing_where_others_can_be_made_is_a_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        (tmp_path / "ours").read_text()

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(FileNotFoundError):
        main._exit_code()


def test_serve_says_where_in_one_line_of_json(campaign: Path) -> None:
    argv = [*COMMAND, "serve", str(campaign), "--port", "0", "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        said = json.loads(server.stdout.readline())
        server.terminate()
    assert said == {"url": f"http://127.0.0.1:{said['port']}/index.html", "port": said["port"]}
    assert server.returncode == 0
