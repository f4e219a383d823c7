"""Which engine a launcher runs, and with what, by its text."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferencebench.engines import registry
from inferencebench.engines.recognition import Recognised, of_submission, recognise

NAMES = ("pytorch", "llamacpp", "vllm", "sglang", "tgi", "transformers")


@pytest.mark.parametrize("name", NAMES)
def test_a_default_launcher_is_recognised_as_the_default(name: str) -> None:
    found = recognise(registry.get(name).default_launcher())
    assert (found.engine, found.settings, found.is_default) == (name, {}, True)


@pytest.mark.parametrize("name", NAMES)
def test_settings_of_our_own_launchers_come_back(name: str) -> None:
    text = registry.get(name).launcher(["--some-size", "64", "--config", '{"a": [1, 2]}', "--fast"], {"VLLM_X": "a b"})
    expected = {"some-size": "64", "config": '{"a": [1, 2]}', "fast": "true", "VLLM_X": "a b"}
    assert recognise(text).settings == expected


@pytest.mark.parametrize(
    ("text", "engine", "settings"),
    [
        ("vllm serve $MODEL_PATH --port $PORT -tp 2 --no-enable-prefix-caching", "vllm",
         {"tensor-parallel-size": "2", "enable-prefix-caching": "false"}),
        ("VLLM_ATTENTION_BACKEND=FLASHINFER exec vllm serve m \\\n  --kv_cache_dtype=fp8 > log 2>&1", "vllm",
         {"kv-cache-dtype": "fp8", "VLLM_ATTENTION_BACKEND": "FLASHINFER"}),
        ("# uses vllm serve --x 1\npython -m sglang.launch_server --model-path m --mem-fraction-static 0.9 &", "sglang",
         {"mem-fraction-static": "0.9"}),
        ("text-generation-launcher --model-id x --quantize fp8", "tgi", {"quantize": "fp8"}),
        ("llama-server -m x.gguf -c 4096 -np 8 --host 0.0.0.0", "llamacpp", {"ctx-size": "4096", "parallel": "8"}),
        ("cat > s.py <<EOF\nfrom vllm import LLM\nimport torch\nEOF\npython s.py", "vllm", {}),
        ("python my_server.py", None, {}),
        ("echo 'unclosed", None, {}),
    ],
)  # fmt: skip
def test_launchers_of_others(text: str, engine: str | None, settings: dict[str, str]) -> None:
    found = recognise(text)
    assert (found.engine, found.settings) == (engine, settings)


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    recognise(text)
    recognise("vllm serve " + text)


def test_a_script_that_the_launcher_calls_says_what_the_launcher_does_not(tmp_path: Path) -> None:
    assert of_submission(tmp_path) is None
    (tmp_path / "start_server.sh").write_text('exec "$IB_PYTHON" absent.py && exec "$IB_PYTHON" ./serve.py\n')
    found = of_submission(tmp_path)
    assert found is not None
    assert found.engine is None
    (tmp_path / "serve.py").write_text("from vllm import LLM\n")
    found = of_submission(tmp_path)
    assert found is not None
    assert found.engine == "vllm"
    (tmp_path / "start_server.sh").write_text(f"{'a' * 300}.py {'b' * 60_000}")
    assert of_submission(tmp_path) == Recognised(None), "a name too long for a file, and a word without an end"
    (tmp_path / "start_server.sh").unlink()
    os.mkfifo(tmp_path / "start_server.sh")
    assert of_submission(tmp_path) is None
