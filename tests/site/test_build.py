"""Building the site from made-up records: what is written, skipped, kept, escaped and redacted."""

import http.client
import json
import os
import re
import shutil
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from inferencebench.errors import UserError
from inferencebench.site.build import STATE, build
from inferencebench.site.live import Live, open_server
from inferencebench.site.redact import redacted
from tests.site.campaigns import AGENTS, SECRET, campaign

FEW = (AGENTS[0], AGENTS[5], AGENTS[13])
"""The baseline, an agent, and one whose every text is hostile."""


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("records")
    campaign(out, FEW, transcript_bytes=600_000)
    return out


@pytest.fixture
def copy(records: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(records, tmp_path / "records"))


def overview(out: Path) -> dict[str, list[dict[str, object]]]:
    """The data of the index, read as its script hands it over."""
    text = (out / "data" / "overview.js").read_text()
    found = re.fullmatch(r'IB\.put\("overview", (".*")\);\n', text, re.DOTALL)
    assert found
    data: dict[str, list[dict[str, object]]] = json.loads(json.loads(found[1]))
    return data


def test_every_run_has_a_page_and_stands_on_the_board(records: Path, tmp_path: Path) -> None:
    built = build([records], tmp_path / "site")
    assert (built.runs, built.written, built.skipped) == (36, 36, [])
    data = overview(tmp_path / "site")
    assert len(data["runs"]) == 36
    assert all((tmp_path / "site" / "runs" / f"{run['id']}.html").is_file() for run in data["runs"])
    (board,) = data["boards"]
    assert len(board["floor"]) == 3  # type: ignore[arg-type]
    assert [s["name"] for s in board["scenarios"]] == ["prefill", "decode", "throughput", "balanced"]  # type: ignore[index, attr-defined]


def test_a_board_says_what_must_be_read_with_it(copy: Path, tmp_path: Path) -> None:
    for path in list(copy.rglob("result.json")):
        record = json.loads(path.read_text())
        if record["quality"]:
            record["quality"]["agreement"] = 0.01
            path.write_text(json.dumps(record))
        if record["agent"].startswith("claude-code:claude-sonnet") and record["seed_pair"]["dev"] != 21:
            shutil.rmtree(path.parent)
    build([copy], tmp_path / "site")
    (board,) = overview(tmp_path / "site")["boards"]
    seeds, judged = board["notes"]  # type: ignore[misc]
    assert "claude-code:claude-sonnet-4-6 has 21-1337 only: compare by --seed-pair 21,1337" in seeds  # type: ignore[has-type]
    assert judged == "quality is not judged in laptop (random weights)"  # type: ignore[has-type]
    pages = [page.read_text() for page in (tmp_path / "site" / "runs").glob("*.html")]
    assert any('<span class="verdict na">not judged</span>' in page for page in pages)


def test_unchanged_runs_are_not_written_again(copy: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build([copy], out)
    assert build([copy], out).written == 0
    changed = next(copy.rglob("events.jsonl"))
    changed.write_text(changed.read_text() + '{"at":1795009999.0,"event":"more","pid":1}\n')
    assert build([copy], out).written == 1
    gone = next(copy.rglob("result.json")).parent
    shutil.rmtree(gone)
    before = len(list((out / "runs").glob("*.html")))
    build([copy], out)
    assert len(list((out / "runs").glob("*.html"))) == before - 1


def test_damaged_foreign_and_unfinished_directories_are_said_once_each(copy: Path, tmp_path: Path) -> None:
    runs = sorted(path.parent for path in copy.rglob("result.json"))
    (runs[0] / "result.json").write_text('{"schema_version": 1, "suite"')
    (runs[1] / "result.json").unlink()
    (runs[2] / "result.json").write_text('{"schema_version": 99}')
    (copy / "elsewhere").mkdir()
    (copy / "elsewhere" / "result.json").write_text("[]")
    built = build([copy], tmp_path / "site")
    assert built.runs == 33
    assert len(built.skipped) == 4
    assert len(overview(tmp_path / "site")["unfinished"]) == 1


@pytest.mark.parametrize(
    "name",
    [
        "solve/session.json",
        "solve/trajectory.jsonl",
        "events.jsonl",
        "spec.json",
        "freeze/manifest.json",
        "freeze/diff.patch",
        "measure/launch-0/requests.parquet",
        "measure/launch-0/chunks.parquet",
        "measure/launch-0/telemetry.jsonl",
        "measure/launch-0/metrics-after.prom",
    ],
)
@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00" * 50, b"[" * 100_000, b"PAR1" + b"\xff" * 200 + b"PAR1", b'{"files": [1], "suite": 3}'],
)
def test_a_damaged_part_costs_only_itself(records: Path, tmp_path: Path, name: str, content: bytes) -> None:
    run = next(p.parent for p in records.rglob("result.json") if (p.parent / "solve" / "trajectory.jsonl").exists())
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    (copied / name).write_bytes(content)
    assert build([copied], tmp_path / "site").runs == 1


def test_telemetry_is_on_the_runs_page(records: Path, tmp_path: Path) -> None:
    run = next(p.parent for p in records.rglob("result.json"))
    build([run], tmp_path / "site")
    (page,) = (tmp_path / "site" / "runs").glob("*.html")
    assert re.search(r"vllm:generation_tokens_total.*?9,000", page.read_text(), re.DOTALL)
    text = page.with_suffix(".js").read_text()
    found = re.search(r', (".*")\);\n$', text, re.DOTALL)
    assert found
    lines = json.loads(json.loads(found[1]))["telemetry"]
    assert {(t["name"], t["device"], t["unit"]) for t in lines} >= {
        ("CPU", "machine", "%"),
        ("memory", "GPU 0", "GiB"),
        ("power", "GPU 0", "W"),
    }
    assert all(len(t["at_s"]) == len(t["values"]) == 60 for t in lines)


def test_links_and_pipes_in_a_run_are_not_followed(records: Path, tmp_path: Path) -> None:
    run = next(p.parent for p in records.rglob("result.json") if (p.parent / "solve" / "trajectory.jsonl").exists())
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    (copied / "freeze" / "submission" / "start_server.sh").unlink()
    (copied / "freeze" / "submission" / "start_server.sh").symlink_to(secret)
    (copied / "solve" / "trajectory.jsonl").unlink()
    os.mkfifo(copied / "solve" / "trajectory.jsonl")
    build([copied], tmp_path / "site")
    assert not any("of the host" in path.read_text() for path in (tmp_path / "site" / "runs").iterdir())


def test_no_text_of_a_record_becomes_markup_and_no_key_is_published(records: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build([records], out)
    for page in out.rglob("*.html"):
        text = page.read_text()
        assert "<script>document" not in text
        assert "<img" not in text
        assert "Content-Security-Policy" in text
        assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", text)
    for path in (
        *out.rglob("*.html"),
        *out.glob("data/*"),
        *out.glob("runs/*"),
        *(p for p in out.rglob("downloads/**/*") if p.is_file()),
    ):
        content = path.read_bytes()
        assert SECRET.encode() not in content, path
        assert "downloads" in path.parts or path.suffix == ".json" or "\u202e".encode() not in content, path
        assert not (path.suffix == ".js" and b"</script>" in content)


def test_downloads_hold_every_run_and_no_formula(records: Path, tmp_path: Path) -> None:
    build([records], tmp_path / "site")
    folder = tmp_path / "site" / "downloads"
    parquet, csv = pl.read_parquet(folder / "runs.parquet"), pl.read_csv(folder / "runs.csv")
    assert len(parquet) == len(csv) == len(json.loads((folder / "inferencebench.json").read_bytes())["runs"]) == 36
    assert parquet["speedup"].to_list() == pytest.approx(csv["speedup"].to_list())


def test_a_directory_with_something_else_is_refused(records: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(UserError, match="is no site"):
        build([records], tmp_path)


def test_no_run_is_a_site_too(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert build([tmp_path / "empty"], tmp_path / "site").runs == 0
    assert (tmp_path / "site" / "downloads" / "runs.csv").exists()


def test_transcripts_are_cut_at_both_ends(records: Path, tmp_path: Path) -> None:
    build([records], tmp_path / "site")
    page = max((tmp_path / "site" / "runs").glob("*.html"), key=lambda p: p.stat().st_size)
    assert page.stat().st_size < 400_000
    assert "left out" in page.read_text()


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-abcdefghijklmnop1234",
        "ghp_abcdefghijklmnopqrst1234",
        "hf_abcdefghijklmnopqrst",
        "AKIAABCDEFGHIJKLMNOP",
        "gho_abcdefghijklmnopqrst1234",
        "github_pat_abcdefghijklmnopqrst1234",
        "ASIAABCDEFGHIJKLMNOP",
        "AIzaabcdefghijklmnopqrstuvwxyz01234",
        "xoxb-abcdefghijkl",
        "glpat-abcdefghijklmnopqr",
        "eyJabcdefgh.abcdefghij.abcdefghij",
        "-----BEGIN RSA PRIVATE KEY-----abc",
        "AUTHORIZATION: BEARER abcdef0123456789",
        "Api-Key: abcdefgh1234",
        "apikey=abcdefgh1234",
        "passwd: abcdefgh1234",
        "Access-Token=abcdefgh1234",
        "authtoken: abcdefgh1234",
        "Authorization: Bearer abcdef0123456789",
        "ANTHROPIC_API_KEY=verysecretvalue",
        '"password": "hunter2hunter2"',
    ],
)
def test_secrets_are_redacted(text: str) -> None:
    assert "[redacted]" in redacted(f"before {text} after")
    assert redacted("tokens per second, max_tokens=100, key frames") == "tokens per second, max_tokens=100, key frames"


@pytest.mark.parametrize("text", ["-eyJaaaaaaaaa", "a_key_", "secret", "bearer ", "-----BEGIN A", "authorization : "])
def test_redaction_takes_no_longer_for_hostile_text(text: str) -> None:
    started = time.process_time()
    redacted(text * (400_000 // len(text)))
    assert time.process_time() - started < 3


def test_the_live_site_renews_itself_and_answers_only_this_machine(copy: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    said: list[str] = []
    live = Live([copy], out, said.append)
    assert live.refresh()
    assert live.refresh() is None
    shutil.rmtree(next(copy.rglob("result.json")).parent)
    assert live.refresh()
    server = open_server(out, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        port = server.server_address[1]
        assert json.loads(_get(port, "/live.json", f"127.0.0.1:{port}")[1])["build"] == 2
        assert _get(port, "/index.html", f"localhost:{port}")[0] == 200
        for path, host in (
            ("/index.html", "evil.example"),
            (f"/{STATE}", f"127.0.0.1:{port}"),
            ("/runs/", f"127.0.0.1:{port}"),
            ("/../records/", f"127.0.0.1:{port}"),
        ):
            assert _get(port, path, host)[0] in (404, 421)
    finally:
        server.shutdown()
        server.server_close()


def _get(port: int, path: str, host: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read()
