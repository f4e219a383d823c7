"""Words of a command that say nothing, or name what is not there: exit code 2 and one line, before anything is asked of
a server or a machine."""

import json
import shlex
from pathlib import Path

import pytest
import typer
from click.testing import Result as CliResult
from typer.testing import CliRunner

from inferencebench.cli.main import app
from inferencebench.errors import UserError
from tests.cli.test_verbs import refused, run, store

NOBODY = "http://127.0.0.1:9"
"""A server that does not answer."""


def invoke(*words: object) -> CliResult:
    done = CliRunner().invoke(app, list(map(str, words)))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    return store(tmp_path / "a campaign", "a")


@pytest.mark.parametrize("verb", [["measure", NOBODY], ["sweep", NOBODY], ["compare", NOBODY, NOBODY]], ids=" ".join)
def test_what_to_send_is_checked_before_the_server(verb: list[str], tmp_path: Path) -> None:
    for words, said in (
        ([], "say what to send"),
        (["--requests", tmp_path / "none.jsonl"], "none.jsonl: no such file"),
        (["--suite", "nope", "--scenario", "decode"], "no suite 'nope'"),
        (["--suite", "laptop", "--scenario", "nope"], "no scenario 'nope'"),
        (["--suite", "laptop", "--scenario", "decode", "--tokenizer", tmp_path / "t"], "t: no such file"),
    ):
        with pytest.raises(UserError, match=said):
            invoke(*verb, *words)


def test_urls_of_another_kind_are_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'ftp://x' is not an http or https URL"):
        invoke("compare", "ftp://x", "ftp://y", "--requests", tmp_path)
    with pytest.raises(UserError, match="both be URLs"):
        invoke("compare", NOBODY, tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--reason", "foo"], "--reason: goes with --decide only"),
        (["--by", "me", "--queue"], "--by: goes with --decide only"),
        (["--blind", "--labels"], "--blind: goes with --sample only"),
        (["--seed", 0], "--seed: goes with --sample only"),
        (["--only", "early_eos"], "--only: goes with --zoo only"),
        (["--reduced", "--calibrate", "laptop"], "--reduced: goes with --zoo only"),
        (["--sheet", "s"], "--sheet: goes with --sample or --labels only"),
        (["-o", "s"], "--out: goes with --zoo or --calibrate only"),
        (["--zoo", "laptop"], "--zoo: makes its own runs"),
    ],
)
def test_an_option_of_audit_goes_with_its_mode(campaign: Path, words: list[object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        invoke("audit", campaign, *words)


def test_a_queue_of_no_runs_is_bad_input(tmp_path: Path) -> None:
    for mode in ("--queue", "--labels"):
        with pytest.raises(UserError, match="no finished run there"):
            invoke("audit", mode, tmp_path)


def test_the_command_that_a_sample_prints_works_as_it_stands(campaign: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.jsonl"
    shown = invoke("audit", "--sample", 1, campaign, "--sheet", sheet).stdout
    sheet.write_text(
        sheet.read_text().replace('"label": ""', '"label": "clean"').replace('"label":""', '"label":"clean"')
    )
    words = shlex.split(shown.splitlines()[0].split("then: ")[1])
    assert words[0] == "inferencebench"
    assert "passed" in invoke(*words[1:]).stdout
    sheet.write_text('{"id": 1}\n')
    with pytest.raises(UserError, match=r"key \(id: 1 is wrong; give .*more\)\); labels are"):
        invoke(*words[1:])


def test_the_list_of_tables_takes_nothing_else() -> None:
    with pytest.raises(UserError, match="leave out nowhere"):
        invoke("tables", "list", "nowhere")
    with pytest.raises(UserError, match="leave out --suite"):
        invoke("tables", "list", "--suite", "laptop")
    with pytest.raises(UserError, match="text or json, not as csv"):
        invoke("tables", "list", "--format", "csv")
    assert json.loads(invoke("tables", "list", "--format", "json").stdout)["tables"]


def test_a_script_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--script .*nope: no solve\.sh there"):
        invoke("demo", "--script", tmp_path / "nope", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tau", ["nan", "0", "2"])
def test_tau_has_a_range(tau: str, campaign: Path) -> None:
    with pytest.raises(UserError, match=r"--tau .*: expected a number from 0.01 to 1"):
        invoke("rescore", campaign, "--tau", tau)


def test_usage_errors_name_the_help_that_is_meant(tmp_path: Path) -> None:
    assert refused("campaign", "plan").endswith("Missing argument 'FILE'; see `inferencebench campaign plan --help`\n")
    assert refused("suites", "list", "--out").endswith(
        "No such option: --out; see `inferencebench suites list --help`\n"
    )
    assert "'--format' / '-f': 'xml' is not one of" in refused("tables", "main", "--format", "xml")
    bare = run("campaign")
    assert (bare.returncode, bare.stderr) == (
        2,
        "inferencebench: name a command; see `inferencebench campaign --help`\n",
    )
    assert "Example: inferencebench campaign plan" in bare.stdout
    assert "(No such file or directory)" in refused("trace", tmp_path)


def groups() -> dict[str, object]:
    """The pages that list verbs."""
    whole = typer.main.get_command(app)
    below = {name: one for name, one in whole.commands.items() if hasattr(one, "commands")}  # type: ignore[attr-defined]
    return {"": whole, **below}


def test_every_page_of_help_has_an_example_and_every_default_is_seen() -> None:
    for name, group in groups().items():
        assert f"Example: inferencebench {name}".rstrip() in (getattr(group, "epilog", None) or ""), name
        for verb in group.commands.values():  # type: ignore[attr-defined]
            assert not [p.name for p in verb.params if "[default" in (getattr(p, "help", None) or "")]
            assert "\n" not in (verb.help or "").replace("\n\n", ""), (
                f"{verb.name}: a line ends where no paragraph does"
            )
            assert verb.name in ("campaign", "suites", "agents", "export", "spaces") or "json" in {
                p.name for p in verb.params
            }
