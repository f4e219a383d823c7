"""What the container back ends ask their programs for. Where one is installed, the contract's tests run it too."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from inferencebench.sandbox import apptainer, containers, podman, registry
from inferencebench.sandbox.contract import Mount, SandboxSpec
from inferencebench.sandbox.environment import engine_view


@pytest.fixture
def spec(tmp_path: Path) -> SandboxSpec:
    (tmp_path / "work, so").mkdir()
    (tmp_path / "weights").write_text("w")
    view = engine_view()
    mounts = (*view.mounts, Mount(tmp_path / "weights", "/model/w"), Mount(tmp_path / "work, so", "/workspace", True))
    return SandboxSpec(cwd="/workspace", mounts=mounts, masked=view.masked, env=view.env)


def options(line: list[str], name: str) -> list[str]:
    """Every value of an option."""
    return [value for option, value in pairwise(line) if option == name]


def test_podman_has_no_network_no_capability_no_image_and_reads_only(spec: SandboxSpec, tmp_path: Path) -> None:
    line = podman.command("podman", "runc", tmp_path, spec, containers.places(spec))
    assert options(line, "--network") == ["none"]
    assert options(line, "--cap-drop") == ["all"]
    assert options(line, "--security-opt") == ["no-new-privileges"]
    assert "--read-only" in line
    assert line[-2:] == ["--rootfs", str(tmp_path / "root")]
    binds = options(line, "--mount")
    assert f"type=bind,source={tmp_path}/weights,destination=/model/w,ro=true" in binds
    assert f'type=bind,"source={tmp_path}/work, so",destination=/workspace,ro=false' in binds
    assert sum(bind.endswith("ro=false") for bind in binds) == 1


def test_podman_covers_secrets_without_copying_them_up(spec: SandboxSpec, tmp_path: Path) -> None:
    line = podman.command("podman", "runc", tmp_path, spec, containers.places(spec))
    covers = dict(value.split(":") for value in options(line, "--tmpfs"))
    assert all("notmpcopyup" in how for how in covers.values())
    secrets = {inside: how for inside, how in covers.items() if inside in spec.masked}
    assert any(inside.endswith("/redteam") for inside in secrets)
    assert all(how.startswith("ro,") for how in secrets.values())


def test_of_two_mounts_at_one_path_the_later_is_seen(spec: SandboxSpec, tmp_path: Path) -> None:
    home = Mount(tmp_path / "work, so", "/home/agent", writable=True)
    found = containers.places(replace(spec, mounts=(*spec.mounts, home)))
    assert [place.source for place in found if place.target == "/home/agent"] == [tmp_path / "work, so"]


def test_apptainer_has_no_network_no_home_no_privileges_and_reads_only(spec: SandboxSpec, tmp_path: Path) -> None:
    line = apptainer.command("apptainer", tmp_path, spec, containers.places(spec))
    assert options(line, "--network") == ["none"]
    assert {"--userns", "--pid", "--ipc", "--uts", "--net", "--contain", "--cleanenv", "--no-home", "--no-privs"} <= {
        *line
    }
    binds = options(line, "--bind")
    assert f"{tmp_path}/weights:/model/w:ro" in binds
    writable = {bind.rsplit(":", 2)[1] for bind in binds if bind.endswith(":rw")}
    assert writable == {"/workspace", "/tmp", "/var/tmp", "/dev/shm", "/home/agent"}
    for bind in binds:
        source, inside, how = bind.rsplit(":", 2)
        if inside in spec.masked and Path(source).is_dir():
            assert (how, list(Path(source).iterdir())) == ("ro", [])
    assert line[-1] == str(tmp_path / "root")


def test_the_root_holds_mount_points_and_nothing_else(spec: SandboxSpec, tmp_path: Path) -> None:
    root = tmp_path / "root"
    containers.make_root(root, containers.places(spec))
    assert (root / "workspace").is_dir()
    assert (root / "model/w").is_file()
    assert all(not path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777


def test_an_absent_program_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, word in (("podman", "apt install podman"), ("apptainer", "apptainer.org")):
        probe = registry.get(name).probe()
        assert not probe.ok
        assert word in probe.remedy
