"""Calibration compares with the mock's own record and is kept."""

from pathlib import Path

import pytest
from load_helpers import sample

from inferencebench.errors import InfrastructureError
from inferencebench.load.calibrate import Observed, calibrate, compare
from inferencebench.load.calibration import store_calibration, stored_calibration
from inferencebench.load.metrics import measurement
from inferencebench.load.mock import MockRequest
from inferencebench.load.model import Measurement, Samples


def test_errors_by_hand() -> None:
    log = [MockRequest(0, "ok", 1000, [5000, 7000, 9000])]
    # Sent 500 ns before it was received, each chunk 300 ns late but the last, which is 500 late.
    error = compare({0: Observed(500, [5300, 7300, 9500])}, log)
    assert error.ttft_error_s.mean == pytest.approx((4800 - 4000) / 1e9)
    assert error.chunk_lateness_s.mean == pytest.approx((300 + 300 + 500) / 3 / 1e9)
    assert error.tpot_error_s == pytest.approx((4200 - 4000) / 1e9 / 2)


def test_a_missing_chunk_is_an_error() -> None:
    with pytest.raises(InfrastructureError, match="incomplete"):
        compare({0: Observed(500, [5300])}, [MockRequest(0, "ok", 1000, [5000, 7000])])


KERNEL, USER = "epoll+kernel-stamps", "poll+user-stamps"


def test_calibrations_are_kept_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCEBENCH_CACHE", str(tmp_path))
    assert stored_calibration(KERNEL) is None
    calibration = calibrate(seconds=0.3, streams=8)
    assert calibration.client == KERNEL
    assert calibration.error.chunk_lateness_s.n == 8 * 30
    # Not the accuracy, which a busy machine spoils, but that it is one: the client cannot see a chunk before its write.
    assert 0 < calibration.error.chunk_lateness_s.p50 < 0.05
    assert calibration.capacity_chunks_per_s > 1000
    assert store_calibration(calibration).is_relative_to(tmp_path)
    assert stored_calibration(KERNEL) == calibration
    assert measured_by(KERNEL).calibration == calibration.reference
    other = calibration.model_copy(update={"machine": "another one"})
    store_calibration(other)
    assert stored_calibration(KERNEL) is None


def test_each_recorder_has_its_own_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCEBENCH_CACHE", str(tmp_path))
    fallback = calibrate(seconds=0.2, streams=4, recorder="portable")
    assert fallback.client == USER
    store_calibration(fallback)
    assert stored_calibration(KERNEL) is None
    assert stored_calibration("vllm bench serve") is None
    # Over TLS epoll takes the process's stamps as well; in a mixed measurement the worse recorder counts.
    for client in (USER, "epoll+user-stamps", f"{KERNEL}, {USER}"):
        assert measured_by(client).calibration == fallback.reference


def measured_by(client: str) -> Measurement:
    return measurement({"p": Samples([sample(client=client)], [])}, 0.98)
