import pytest
import torch

from landscape.version import __version__
from landscape.workflow.doctor import machine


def test_every_check_finds_something() -> None:
    findings = {finding.check: finding for finding in machine.examine_machine()}
    assert list(findings) == ["packages", "processor", "devices", "threads", "cache"]
    assert findings["packages"].values["landscape-toolkit"] == __version__
    assert findings["packages"].values["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert findings["processor"].values["bfloat16_time"] > 0
    assert "cpu" in findings["devices"].values["devices"]


def test_more_threads_than_cores_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    finding = machine.threads()
    assert finding.status == "warning"
    assert finding.remedy.startswith("set OMP_NUM_THREADS=2")


def test_the_cache_is_measured_and_named(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("LANDSCAPE_CACHE", str(tmp_path / "cache"))
    assert machine.cache().values == {"folder": str(tmp_path / "cache"), "bytes": 0}
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "file").write_bytes(bytes(2_500_000))
    assert machine.cache().message.endswith("cache, 2.5 MB")


def test_a_cache_that_cannot_be_written_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "access", lambda path, mode: False)
    assert machine.cache().status == "warning"


def test_another_package_of_the_same_name_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    real = machine._version
    monkeypatch.setattr(machine, "_version", lambda name: "0.1.1" if name == "landscape" else real(name))
    assert "the package landscape 0.1.1 of another project" in machine.packages().message
