"""Back ends by name, and the texts that say how to get one."""

from pathlib import Path

import pytest

from inferencebench.errors import UserError
from inferencebench.sandbox import cgroups, registry
from inferencebench.sandbox.remedies import APPARMOR, CLONE, CONTAINER, COUNT, bubblewrap_remedy


def test_names_and_auto() -> None:
    assert registry.names() == ("bubblewrap", "unshare", "podman", "apptainer", "process")
    working = [name for name in registry.names() if registry.probe(name).ok]
    assert registry.get().name == working[0]
    assert [registry.get(name).verified for name in registry.names()] == [True, True, True, True, False]


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"'docker'.*bubblewrap.*process"):
        registry.get("docker")


def test_probe_is_made_once() -> None:
    assert registry.probe("process") is registry.probe("process")


@pytest.mark.parametrize(
    ("switch", "value", "remedy"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1\n", APPARMOR),
        ("kernel/unprivileged_userns_clone", "0\n", CLONE),
        ("user/max_user_namespaces", "0\n", COUNT),
        ("user/max_user_namespaces", "15000\n", CONTAINER),
    ],
)
def test_remedy_follows_the_kernels_switches(tmp_path: Path, switch: str, value: str, remedy: str) -> None:
    file = tmp_path / "proc" / "sys" / switch
    file.parent.mkdir(parents=True)
    file.write_text(value)
    assert bubblewrap_remedy("bwrap: setting up uid map: Permission denied", tmp_path) == remedy
    assert bubblewrap_remedy("bwrap: Can't find source path", tmp_path) == ""


def test_no_bubblewrap_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    probe = registry.get("bubblewrap").probe()
    assert not probe.ok
    assert "apt install bubblewrap" in probe.remedy


def test_limits_that_were_not_asked_for_are_not_reported() -> None:
    assert cgroups.limit(None, None) == cgroups.Limited()


def test_every_limit_names_its_enforcer() -> None:
    limited = cgroups.limit(1 << 30, 10)
    try:
        assert set(limited.limits) == {"memory", "processes"}
        for text in limited.limits.values():
            assert text in ("cgroup v1", "cgroup v2") or text.startswith("not enforced: ")
        assert bool(limited.directories) == any(text.startswith("cgroup") for text in limited.limits.values())
    finally:
        for directory in limited.directories:
            directory.rmdir()
