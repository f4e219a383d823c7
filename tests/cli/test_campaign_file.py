"""A campaign file that is wrong: the line names the file, whatever is wrong in it and whichever verb reads it."""

from pathlib import Path

import pytest

from inferencebench.campaign.journal import FOLDER, LOG
from inferencebench.errors import UserError
from tests.cli.test_arguments import invoke

GOOD = {
    "suites": '["laptop"]', "agents": '["engine:llamacpp"]', "scenarios": '["decode"]', "more": "",
}  # fmt: skip
WRONG = {
    "unknown engine": ({"agents": '["engine:nope"]'}, "nope"),
    "unknown suite": ({"suites": '["nope"]'}, "no suite 'nope'"),
    "unknown scenario": ({"scenarios": '["E"]'}, "no scenario 'E'"),
    "unknown executor": ({"more": '[executor]\nkind = "nope"'}, "executor.kind: 'nope'"),
    "unknown option": ({"more": "[executor.options]\nnope = 1"}, "executor.options.nope: not an option"),
    "idle exclude": (
        {"more": '[[exclude]]\nscenario = "prefill"'},
        "the exclude of scenario = 'prefill' matches no run",
    ),
}


def written(path: Path, changed: dict[str, str]) -> Path:
    of = GOOD | changed
    matrix = "\n".join(f"{key} = {of[key]}" for key in ("suites", "agents", "scenarios"))
    path.write_text(f'name = "c"\n[matrix]\n{matrix}\n{of["more"]}\n')
    return path


@pytest.mark.parametrize("name", WRONG)
def test_the_line_names_the_file(name: str, tmp_path: Path) -> None:
    changed, said = WRONG[name]
    file = written(tmp_path / "c.toml", changed)
    for verb in ("plan", "run"):
        with pytest.raises(UserError) as caught:
            invoke("campaign", verb, file)
        assert str(caught.value).startswith(f"{file}: ")
        assert str(caught.value).count(str(file)) == 1
        assert said in str(caught.value)


@pytest.mark.parametrize("verb", ["status", "cancel", "sync"])
def test_so_do_the_other_verbs(verb: str, tmp_path: Path) -> None:
    file = written(tmp_path / "c.toml", {"suites": '["nope"]'})
    with pytest.raises(UserError, match=f"^{file}: no suite"):
        invoke("campaign", verb, file, *([tmp_path / "to"] if verb == "sync" else []), "--out", tmp_path)


def test_cancel_says_how_many_ended_in_json(tmp_path: Path) -> None:
    file = written(tmp_path / "c.toml", {})
    log = tmp_path / "out" / FOLDER / LOG
    log.parent.mkdir(parents=True)
    log.touch()
    assert '"ended": 0' in invoke("campaign", "cancel", file, "--out", tmp_path / "out", "--json").stdout
