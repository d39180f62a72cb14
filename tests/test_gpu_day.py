"""The GPU day's script: end to end on a CPU with a few small images, and its parts against results known beforehand."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from benchmarks import gpu_day, gpu_day_cargo, gpu_day_measures, gpu_day_report
from PIL import Image

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tests" / "benchmarks" / "gpu_day.py"


def run(out: Path, *words: str, budget: float = 1000.0) -> str:
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--tiny", "--out", str(out), "--budget", str(budget)]
    done = subprocess.run([*command, *words], capture_output=True, text=True, cwd=out.parent, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)  # on a busy machine; about a minute otherwise
def test_every_step_runs_and_what_is_done_is_not_repeated(tmp_path: Path) -> None:
    out = tmp_path / "day"
    first = run(out, "--steps", "floors,pair", budget=gpu_day.RESERVE + gpu_day.LEAST + 0.1)
    assert "| pair | not started | 0.0 |" in first  # the budget was used up
    assert len((out / "results.jsonl").read_text().splitlines()) == 1

    printed = run(out, "--pack", str(tmp_path / "pack"))
    records = gpu_day_report.read_records(out)
    for step in gpu_day.STEPS:
        log = out / "logs" / f"{step.name.replace(' ', '-')}.txt"
        assert records[step.name]["status"] == "done", (records[step.name], log.read_text())
        assert f"| {step.name} | done |" in printed
    assert "reached" not in printed  # goals are of a GPU
    check_numbers({name: record["numbers"] for name, record in records.items()})
    with h5py.File(out / "gpu-day.h5") as file:
        kinds = {type(group) for group in file.values()}
        assert kinds == {h5py.Group}
    snapshots = sorted(path.name for path in (out / "pair").glob("*-sam-s0-snapshots/epoch-*"))
    assert snapshots == ["epoch-0000.safetensors", "epoch-0001.safetensors"]
    packed = set()
    for volume in (tmp_path / "pack").glob("*.tar"):
        with tarfile.open(volume) as archive:
            packed |= set(archive.getnames())
    assert {"gpu-day.h5", "profile.json", "logs/tests.txt", "pair/resnet20-tiny-sam-s0.pt"} <= packed

    before = (out / "results.jsonl").read_text()
    assert run(out) == f"\n{(out / 'summary.md').read_text()}\n"
    assert (out / "results.jsonl").read_text() == before


def check_numbers(found: dict[str, Any]) -> None:
    tests = found["tests"]
    assert tests["tests"] > 0
    assert not tests["broken"]
    assert {"copy, TB/s read and written", "bf16 matrix product, TFLOP/s", "our float32 pass, s"} <= found[
        "floors"
    ].keys()
    assert {name: entry["epochs"] for name, entry in found["pair"].items()} == {"sam": 1, "adam": 2}
    assert {name: entry["epochs"] for name, entry in found["seeds"].items()} == {"sam-s1": 1, "adam-s1": 2}
    for step in ("surface", "eigenvalues", "sharpness", "convexity"):
        assert len(found[step]) == 2
        assert all(entry["finished"] for entry in found[step].values())
    parts = ["surface pass", "product", "training step, adam", "training step, sam"]
    assert list(found["profile"]) == parts
    for part in parts:
        entry = found["profile"][part]
        assert entry["seconds"] > 0
        assert 0 < entry["busy"] <= 1
        assert 0 < len(entry["kernels"]) <= 10
    assert set(found["training peers"]["seconds"]) == {name for name in TRAINING if "compiled" not in name}
    assert len(found["surface peers"]["points"]) == 1
    assert [len(rounds) for rounds in found["curvature peers"]["rounds"].values()] == [1]


TRAINING = ["plain recipe, Adam", "plain recipe, SAM", "landscape, Adam", "landscape, SAM", "compiled recipe, SAM"]


def test_a_stopped_step_that_resumes_gets_what_is_left_of_the_budget() -> None:
    steps = [step for step in gpu_day.STEPS if step.name in ("tests", "floors", "pair", "surface")]
    statuses = {"tests": "done", "pair": gpu_day.STOPPED}
    seen = []
    for step in gpu_day.attempts(steps, statuses):
        seen.append(step.name)
        statuses[step.name] = {"floors": gpu_day.STOPPED, "pair": gpu_day.STOPPED, "surface": "failed"}[step.name]
    assert seen == ["floors", "pair", "surface", "pair"]  # floors cannot resume; what failed would fail again


def test_gaps_are_where_nothing_runs() -> None:
    found = gpu_day_measures.kernels_and_gaps([(0, 4, "a"), (10, 12, "b"), (3, 5, "c"), (6, 8, "a"), (3.5, 4.5, "d")])
    assert found["busy"] == pytest.approx(1 - 3 / 12)
    assert [(k["name"], k["ms"], k["calls"]) for k in found["kernels"][:2]] == [("a", 0.006, 2), ("c", 0.002, 1)]
    assert [(g["ms"], g["after"], g["before"]) for g in found["gaps"]] == [(0.002, "a", "b"), (0.001, "c", "a")]


def test_every_tenth_epoch_and_the_last_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "pair" / "a-snapshots"
    for parent in (folder, folder / "second-moments"):
        parent.mkdir(parents=True)
        for epoch in range(24):
            (parent / f"epoch-{epoch:04d}.safetensors").touch()
    gpu_day.thin_snapshots(gpu_day.Day("cpu", True, tmp_path, "digits"))
    for parent in (folder, folder / "second-moments"):
        assert [int(path.stem[-4:]) for path in sorted(parent.glob("epoch-*"))] == [0, 10, 20, 23]


def test_an_archive_of_images_becomes_a_folder_once(tmp_path: Path) -> None:
    archive, pixels = tmp_path / "images.tar.xz", io.BytesIO()
    Image.new("RGB", (4, 4)).save(pixels, "PNG")
    with tarfile.open(archive, "w:xz") as file:
        for name in ("cifar/train/cat/0.png", "cifar/train/dog/0.png", "cifar/test/cat/0.png"):
            info = tarfile.TarInfo(name)
            info.size = len(pixels.getvalue())
            file.addfile(info, io.BytesIO(pixels.getvalue()))
    out = tmp_path / "out"
    data = gpu_day_cargo.as_data(str(archive), out)
    assert data == f"folder:{out / 'data' / 'images' / 'cifar'}"
    archive.write_bytes(archive.read_bytes())
    (out / "data" / "images" / "cifar" / "train" / "cat" / "0.png").unlink()  # would come back
    assert gpu_day_cargo.as_data(str(archive), out) == data
    assert not (out / "data" / "images" / "cifar" / "train" / "cat" / "0.png").exists()
    assert gpu_day_cargo.as_data("cifar10", out) == "cifar10"


def test_archives_stay_below_the_limit_and_hold_every_file(tmp_path: Path) -> None:
    out, folder, random = tmp_path / "out", tmp_path / "pack", np.random.default_rng(0)
    (out / "pair").mkdir(parents=True)
    (out / "cache").mkdir()
    (out / "cache" / "images").write_bytes(random.bytes(10))
    contents = {f"pair/{i}.pt": random.bytes(30_000) for i in range(7)} | {"big.h5": random.bytes(200_000)}
    for name, content in contents.items():
        (out / name).write_bytes(content)
    volumes = gpu_day_cargo.pack(out, folder, 100_000)
    assert len(volumes) > 1
    assert all(volume.stat().st_size <= 100_000 for volume in volumes)
    back = tmp_path / "back"
    for volume in volumes:
        with tarfile.open(volume) as archive:
            gpu_day_cargo.extract(archive, back)
    found = {str(path.relative_to(back)): path.read_bytes() for path in back.rglob("*") if path.is_file()}
    assert found == {name: content for name, content in contents.items() if name != "big.h5"}
    assert (folder / "left-out.txt").read_text() == "big.h5\n"


def test_the_cargo_is_what_is_not_there_with_versions(tmp_path: Path) -> None:
    present, images = tmp_path / "present.txt", tmp_path / "images.tar"
    present.write_text("numpy\nSciPy\nh5py\n")
    images.write_bytes(bytes(2 << 20))
    lines = gpu_day_cargo.listing(present, str(images))
    names = {line.partition("==")[0] for line in lines if "==" in line}
    assert {"tyro", "rich", "markdown-it-py", "mdurl", "pytest", "iniconfig"} <= names  # with what they need themselves
    assert not names & {"numpy", "scipy", "h5py", "torch", "torchvision"}
    assert f"# images: {images}, 2.0 MiB" in lines


def test_a_summary_says_what_was_not_measured_and_which_tests_broke(tmp_path: Path) -> None:
    tests = {"tests": 9, "failures": 1, "errors": 1, "skipped": 2, "broken": ["a::b"]}
    surfaces = {f"{name}/plane": {"finished": True, "seconds": 70.0 + 60 * i} for i, name in enumerate(["sam", "adam"])}
    records = [
        {"step": "tests", "status": "failed", "seconds": 3.0, "numbers": tests},
        {"step": "surface", "status": "done", "seconds": 200.0, "numbers": surfaces},
    ]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    text = gpu_day_report.write_summary(tmp_path, ["tests", "surface", "seeds"], judged=True)
    assert "| seeds | not started | 0.0 |" in text
    assert "| surface, 51 × 51, exact | at most 120 s | 130 | missed |" in text
    assert "| Adam, 200 epochs | at most 60 s | | not measured |" in text
    assert "tests: 9 in all, 2 broken, 2 skipped\n- a::b\n" in text
