"""Only what was frozen is served."""

from pathlib import Path

import pytest

from inferencebench.errors import InfrastructureError
from inferencebench.run.bench import Bench
from inferencebench.run.freeze import freeze
from inferencebench.run.relaunch import relaunched
from inferencebench.sandbox import registry
from inferencebench.suites.load import load

TINY = Path(__file__).parents[1] / "e2e" / "tiny.toml"


def _frozen(tmp_path: Path) -> tuple[Path, str]:
    source = tmp_path / "submission"
    source.mkdir()
    (source / "start_server.sh").write_text("exec serve\n")
    return tmp_path / "frozen", freeze(source, tmp_path / "frozen", 1000).sha256


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda frozen: (frozen / "start_server.sh").write_text("exec other\n"), "has changed"),
        (lambda frozen: (frozen / "start_server.sh").chmod(0o755), "has changed"),
        (lambda frozen: (frozen / "more").write_text(""), "has changed"),
        (lambda frozen: frozen.rename(frozen.parent / "gone"), "cannot be copied"),
    ],
)
def test_a_changed_copy_is_not_served(tmp_path: Path, change: object, reason: str) -> None:
    frozen, sha256 = _frozen(tmp_path)
    change(frozen)  # type: ignore[operator]
    bench = Bench(load(str(TINY)), tmp_path / "out")
    with (
        pytest.raises(InfrastructureError, match=reason),
        relaunched(bench, registry.get("process"), frozen, tmp_path / "logs", expected_sha256=sha256),
    ):
        pytest.fail("it was served")
    assert list((tmp_path / "out" / ".scratch").iterdir()) == []
