"""What a sandbox with a GPU sees of the machine."""

from pathlib import Path

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
