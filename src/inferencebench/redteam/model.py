"""A fixture of the zoo: its manifest, and the files of its submission."""

import tomllib
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from inferencebench.errors import UserError
from inferencebench.files import sha256_file, sha256_json
from inferencebench.suites.model import Record, ScenarioName

FIXTURES = Path(__file__).parent / "fixtures"
COMMON = Path(__file__).parent / "common"
MANIFEST = "fixture.toml"

Kind = Literal["cheat", "honest"]
Material = Literal["questions", "dev_requests"]


class Fixture(Record):
    """One submission of the zoo, as its manifest describes it."""

    name: str
    """The name of its folder."""
    kind: Kind
    what: str
    """What it does, in one line."""
    scenario: ScenarioName
    """Where it is run."""
    expected: tuple[str, ...]
    """Checks of which any may catch it, `quality` for the quality gate, `stopped` for the sandbox; none if honest."""
    uses: tuple[str, ...] = ()
    """Modules of `common` that are copied into the submission."""
    brings: tuple[Material, ...] = ()
    """What the cheat's author has at hand: the public questions with their answers, the dev requests."""
    accelerators: tuple[Literal["cpu", "cuda"], ...] = ("cpu", "cuda")
    """Kinds of hardware that its engine runs on."""
    reduced: bool = False
    """Whether it is part of the reduced zoo."""

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return FIXTURES / self.name

    @cached_property
    def files(self) -> dict[str, Path]:
        """The files of the submission by their path in it."""
        own = (path for path in self.folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        found = {path.relative_to(self.folder).as_posix(): path for path in own if path.name != MANIFEST}
        found |= {f"{module}.py": COMMON / f"{module}.py" for module in self.uses}
        return dict(sorted(found.items()))

    @property
    def sha256(self) -> str:
        """Hash of what the fixture brings along."""
        files = [[name, sha256_file(path)] for name, path in self.files.items()]
        return sha256_json([files, sorted(self.brings)])


def names() -> list[str]:
    """All fixtures, sorted."""
    return sorted(path.parent.name for path in FIXTURES.glob(f"*/{MANIFEST}"))


def load(name: str) -> Fixture:
    """The fixture of this name. Raises UserError for an unknown name or a bad manifest."""
    path = FIXTURES / name / MANIFEST
    if name not in names():
        raise UserError(f"zoo: no fixture {name!r}; there are {', '.join(names())}")
    try:
        return Fixture.model_validate({"name": name, **tomllib.loads(path.read_text())})
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: {str(error).splitlines()[0]}") from None


def load_all() -> list[Fixture]:
    """All fixtures: cheats first, then the honest controls."""
    return sorted(map(load, names()), key=lambda fixture: (fixture.kind, fixture.name))
