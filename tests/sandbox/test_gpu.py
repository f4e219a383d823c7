"""What a sandbox with a GPU sees of the machine."""

from pathlib import Path

import pytest

from inferencebench.sandbox import gpu


def test_the_machines_settings_pass_and_nothing_else() -> None:
    given = {
        "NCCL_NVLS_ENABLE": "0",
        "NVSHMEM_DISABLE_NVLS": "1",
        "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1",
        "LD_LIBRARY_PATH": f"/usr/lib:/usr/nowhere:{Path.home()}",
        "LD_PRELOAD": "/usr/lib/evil.so",
        "ANTHROPIC_API_KEY": "secret",
        "VLLM_ATTENTION_BACKEND": "a setting of speed",
    }
    assert gpu.environment(given) == {
        "NCCL_NVLS_ENABLE": "0",
        "NVSHMEM_DISABLE_NVLS": "1",
        "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1",
        "LD_LIBRARY_PATH": "/usr/lib",
    }
    assert gpu.environment({"LD_LIBRARY_PATH": "/nowhere", "HOME": "/root"}) == {}


def test_no_gpu_no_options() -> None:
    assert gpu.options(()) == []
    assert gpu.options((0,))[:3] == ["--ro-bind-try", "/sys", "/sys"]


def test_a_node_is_found_by_its_minor_number_and_not_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four GPUs whose minor numbers run against the bus, one is hidden from this machine."""
    monkeypatch.setattr(gpu, "DEV", tmp_path)
    monkeypatch.setattr(gpu, "DRIVER", tmp_path / "gpus")
    for minor, bus in enumerate(("0000:c1:00.0", "0000:8a:00.0", "0000:1b:00.0", "0000:04:00.0")):
        folder = tmp_path / "gpus" / bus
        folder.mkdir(parents=True)
        text = f"Model: \t\t NVIDIA H100\nBus Location: \t {bus}\nDevice Minor: \t {minor}\n"
        (folder / "information").write_text(text)
    for name in ("nvidia0", "nvidia1", "nvidia3", "nvidiactl"):
        (tmp_path / name).touch()
    assert [Path(node).name for node in gpu.nodes((0,))] == ["nvidia3", "nvidiactl"]
    assert [Path(node).name for node in gpu.nodes((1, 2))] == ["nvidia1", "nvidia0", "nvidiactl"]
    assert gpu.nodes(()) == []
