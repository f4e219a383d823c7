"""Installing pinned agents: a complete record or none, and one line for what is wrong."""

import hashlib
import json
from pathlib import Path

import pytest

from inferencebench.agents import install
from inferencebench.agents.install import Package
from inferencebench.errors import MissingError, UserError

PACKAGE = Package(name="fake", npm="fake", version="1.2.3", program="fake")
LOCK = {"packages": {"": {}, "node_modules/fake": {"version": "1.2.3", "integrity": "sha512-x"}}}
NPM = """#!/bin/sh
mkdir -p node_modules/.bin
printf '%s' '{lock}' > package-lock.json
printf '#!/bin/sh\\necho fake {version}\\n' > node_modules/.bin/fake
chmod +x node_modules/.bin/fake
exit {code}
"""


def _npm(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str = "1.2.3", code: int = 0) -> None:
    (folder / "npm").write_text(NPM.format(lock=json.dumps(LOCK), version=version, code=code))
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("INFERENCEBENCH_CACHE", str(folder / "cache"))


def test_records_the_integrity_of_what_npm_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _npm(tmp_path, monkeypatch)
    record = install.install(PACKAGE)
    assert record.integrity == {"node_modules/fake": "sha512-x"}
    assert record.lock_sha256 == hashlib.sha256(json.dumps(LOCK).encode()).hexdigest()
    assert install.installed(PACKAGE) == record
    _npm(tmp_path, monkeypatch, code=1)
    assert install.install(PACKAGE) == record


def test_a_changed_lock_or_another_version_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _npm(tmp_path, monkeypatch)
    install.install(PACKAGE)
    assert install.installed(PACKAGE.model_copy(update={"version": "1.2.4"})) is None
    (PACKAGE.folder / "package-lock.json").write_text("{}")
    assert install.installed(PACKAGE) is None


@pytest.mark.parametrize(("version", "code", "says"), [("9.9.9", 0, "says 'fake 9.9.9'"), ("1.2.3", 7, "ended with 7")])
def test_a_bad_installation_is_one_line_and_leaves_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, code: int, says: str
) -> None:
    _npm(tmp_path, monkeypatch, version, code)
    with pytest.raises(MissingError, match=says):
        install.install(PACKAGE)
    assert install.installed(PACKAGE) is None


def test_without_npm_and_unknown_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("INFERENCEBENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MissingError, match="npm is not installed"):
        install.install(PACKAGE)
    with pytest.raises(UserError, match="one of claude-code, codex"):
        install.package("cursor")
