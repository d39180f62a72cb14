"""What the GPU day takes along, unpacks, and brings back."""

from __future__ import annotations

import tarfile
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
TESTING = ["pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "packaging"]
PEERS = ["curvlinops-for-pytorch", "pyhessian", "loss-landscapes", "landscaper", "tqdm"]
WITHOUT_NEEDS = {"loss-landscapes", "landscaper"}  # of these only what computes is imported
NOT_NEEDED = {"plotly", "torchvision", "torch"}  # nothing is drawn there; torch belongs to the machine
NOT_PACKED = {"data", "cache", "compiled", "second-moments"}  # folders


def listing(present: Path | None, data: str | None) -> list[str]:
    """Return the packages to carry as pinned requirements that need no others, and the archive of images."""
    there = {canonicalize_name(name) for name in present.read_text().split()} if present else set()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    roots = [*project["dependencies"], *TESTING, *PEERS]
    lines, missing = [], []
    for name in _closure(roots, there):
        try:
            lines.append(f"{name}=={metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    lines = ["# packages, each without its own requirements: the list is complete", *sorted(lines)]
    if missing:
        lines.append(f"# not installed here, so that their peers are left out: {', '.join(sorted(missing))}")
    if data is not None:
        path = Path(data.removeprefix("folder:"))
        if not path.exists():
            raise SystemExit(f"expected a file or folder of images, got {data}")
        size = path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
        lines.append(f"# images: {data}, {size / 2**20:.1f} MiB" + ("" if path.is_file() else "; better as a tar.xz"))
    return lines


def _closure(roots: Iterable[str], there: set[str]) -> Iterator[str]:
    """Yield the packages that some requirements need, their own included, without those that are there."""
    seen: set[str] = set()
    ahead = [Requirement(root) for root in roots]
    while ahead:
        requirement = ahead.pop()
        name = canonicalize_name(requirement.name)
        if name in seen or name in there or name in NOT_NEEDED:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        seen.add(name)
        yield name
        if name not in WITHOUT_NEEDS:
            try:
                ahead += [Requirement(text) for text in metadata.requires(name) or []]
            except metadata.PackageNotFoundError:
                continue


def as_data(data: str, out: Path) -> str:
    """Return landscape's --data for a folder, an archive of one, which is unpacked once, or a name it knows."""
    path = Path(data)
    if path.is_file() and tarfile.is_tarfile(path):
        folder = out / "data" / path.name.split(".")[0]
        done = folder.with_suffix(".unpacked")
        if not done.exists():
            with tarfile.open(path) as archive:
                extract(archive, folder)
            done.touch()
        path = folder
    if path.is_dir():
        inside = next((found.parent for found in sorted(path.rglob("train")) if found.is_dir()), None)
        if inside is None:
            raise SystemExit(f"expected train/CLASS folders of images in {data}")
        return f"folder:{inside.resolve()}"
    return data


def tiny_images(out: Path) -> str:
    """Return the --data of a few random 8 × 8 images."""
    path = out / "data" / "tiny.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(0)
        arrays = {}
        for split in ("train", "test"):
            arrays[f"{split}_images"] = random.integers(0, 256, (48, 8, 8, 3), dtype=np.uint8)
            arrays[f"{split}_labels"] = np.arange(48) % 10
        np.savez(path, **arrays)
    return f"npz:{path}"


def pack(out: Path, folder: Path, limit: int) -> list[Path]:
    """Write all results to a folder: the records and the summary, and archives of at most `limit` bytes of all files.

    Files larger than that are left out and named in the summary of the archives, `left-out.txt`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("results.jsonl", "summary.md"):
        if (out / name).exists():
            (folder / name).write_bytes((out / name).read_bytes())
    paths = {path.relative_to(out): path for path in sorted(out.rglob("*")) if path.is_file()}
    files = [path for name, path in paths.items() if NOT_PACKED.isdisjoint(name.parts)]
    volumes: list[list[Path]] = [[]]
    used = tarfile.RECORDSIZE
    left_out = []
    for path in files:
        size = tarfile.BLOCKSIZE * (2 + -(-path.stat().st_size // tarfile.BLOCKSIZE))
        if size + tarfile.RECORDSIZE > limit:
            left_out.append(str(path.relative_to(out)))
            continue
        if used + size > limit:
            volumes.append([])
            used = tarfile.RECORDSIZE
        volumes[-1].append(path)
        used += size
    written = []
    for number, members in enumerate(volumes, start=1):
        target = folder / f"gpu-day-{number}.tar"
        with tarfile.open(target, "w") as archive:
            for path in members:
                archive.add(path, arcname=str(path.relative_to(out)))
        written.append(target)
    if left_out:
        (folder / "left-out.txt").write_text("\n".join(left_out) + "\n")
    return written


def extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Extract an archive, without what could leave the folder where Python can tell (3.11.4 and later)."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:
        archive.extractall(folder)
