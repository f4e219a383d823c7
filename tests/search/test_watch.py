"""Servers that will never be ready cost seconds: the watch over a starting server's log."""

from pathlib import Path

import pytest

from inferencebench.engines import registry
from inferencebench.engines.contract import Fatal, Startup
from inferencebench.errors import InfrastructureError
from inferencebench.run.trial import StartupWatch
from inferencebench.serve.server import ServerFailed

STARTUP = Startup(quiet_s=5.0, fatal=(Fatal("out of memory", "no memory"),))


def test_a_fatal_line_ends_the_wait_even_when_it_came_in_two_writes(tmp_path: Path) -> None:
    log = tmp_path / "server.err"
    watch = StartupWatch(STARTUP, tmp_path)
    log.write_text("loading\nCUDA out of ")
    watch.look(1.0)
    log.write_text("loading\nCUDA out of memory\n")
    with pytest.raises(ServerFailed, match=r"no memory \(CUDA out of memory\)"):
        watch.look(2.0)


def test_silence_is_a_hang_and_a_new_line_is_not(tmp_path: Path) -> None:
    log = tmp_path / "server.out"
    watch = StartupWatch(STARTUP, tmp_path)
    watch.look(4.0)
    log.write_text("step 1\n")
    watch.look(5.0)
    watch.look(9.5)
    with pytest.raises(ServerFailed, match="nothing in its log for 5 s"):
        watch.look(10.5)


def test_an_unfinished_line_counts_once(tmp_path: Path) -> None:
    log = tmp_path / "server.err"
    watch = StartupWatch(STARTUP, tmp_path)
    log.write_text("50%\r")
    watch.look(1.0)
    watch.look(5.0)
    log.write_text("50%\r60%\r")
    watch.look(5.9)
    watch.look(10.5)
    with pytest.raises(ServerFailed, match="nothing in its log for 5 s"):
        watch.look(11.5)


@pytest.mark.parametrize("engine", ["pytorch", "transformers", "llamacpp"])
def test_engines_that_start_without_a_word_are_waited_for(engine: str, tmp_path: Path) -> None:
    startup = registry.get(engine).startup
    StartupWatch(startup, tmp_path).look(startup.ready_s)


@pytest.mark.parametrize(
    ("engine", "line"),
    [
        ("vllm", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"),
        ("vllm", "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`"),
        ("vllm", "ValueError: max_num_batched_tokens (2048) is smaller than max_model_len (4096)."),
        ("vllm", "api_server.py: error: argument --block-size: invalid int value"),
        ("sglang", "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static."),
        ("tgi", "Error: ShardCannotStart"),
        ("llamacpp", "error: argument --spec: invalid choice"),
    ],
)
def test_known_ends_are_recognised(engine: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "server.err").write_text(f"INFO fine\n{line}\n")
    with pytest.raises(ServerFailed):
        StartupWatch(registry.get(engine).startup, tmp_path).look(1.0)


@pytest.mark.parametrize("line", ["WARNING Failed to import from vllm._moe_C with ModuleNotFoundError", "INFO: ready"])
def test_harmless_lines_of_vllm_are_let_pass(line: str, tmp_path: Path) -> None:
    (tmp_path / "server.err").write_text(f"{line}\n")
    StartupWatch(registry.get("vllm").startup, tmp_path).look(1.0)


def test_memory_that_another_holds_is_not_the_settings_fault(tmp_path: Path) -> None:
    line = "ValueError: Free memory on device cuda:0 (10.1/79.1 GiB) is less than desired GPU memory utilization (0.9)"
    (tmp_path / "server.err").write_text(f"{line}\n")
    with pytest.raises(InfrastructureError, match="already in use"):
        StartupWatch(registry.get("vllm").startup, tmp_path).look(1.0)
