"""Code blocks of the README and the docs: Python blocks run with small sizes, commands parse, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path

import pytest
import torch

import landscape
import landscape.results
from landscape.cli.parsing import parse

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("README.md"), *ROOT.glob("CONTRIBUTING.md"), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
FRAMEWORKS = ("lightning", "timm", "transformers")  # .ci/run installs them beside the wheel, on the newest Python
SMALL = {"points=51": "points=3", "points=101": "points=5", "epochs=15": "epochs=1"}

pytestmark = pytest.mark.skipif(not (ROOT / "figures").exists(), reason="a source archive holds no pictures")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, language)]


@pytest.mark.parametrize("page", pages_with("python"), ids=name_of)
def test_python_blocks_of_a_page_run_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for framework in FRAMEWORKS:
        if any(f"import {framework}\n" in block for block in blocks(page, "python")):
            pytest.importorskip(framework)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3))
    names = {"model": model, "images": torch.randn(24, 3, 2, 2), "labels": torch.arange(24) % 3}
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)  # an untrained model is near chance
        for block in blocks(page, "python"):
            for size, small in SMALL.items():
                block = block.replace(size, small)
            exec(compile(block, name_of(page), "exec"), names)
    if "optimizer" not in names:
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    if page.name == "README.md":
        assert (tmp_path / "report.html").stat().st_size > 1e6
        assert "SAM sharpness, ρ = 0.05" in capsys.readouterr().out


def commands() -> list[str]:
    pages = [*PAGES, ROOT / "figures/README.md", ROOT / "checkpoints/README.md"]
    text = "\n".join(block.replace("\\\n", " ") for page in pages for block in blocks(page, "sh"))
    return sorted({line.strip() for line in text.splitlines() if line.strip().startswith("landscape ")})


@pytest.mark.parametrize("command", commands())
def test_commands_parse(command: str) -> None:
    assert parse(shlex.split(command)[1:]) is not None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


def test_files_and_folders_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = re.search(r"^```\n(.*?)\n\n", text, flags=re.MULTILINE | re.DOTALL)
    assert tree is not None
    heads = [re.match(r" *(?:[\w.]+/? {2})*[\w.]+/?(?= {2,}|$)", line) for line in tree[1].splitlines()]
    folders = {name for head in heads if head for name in head[0].split()}
    known = {path.name + "/" * path.is_dir() for path in (ROOT / "landscape").rglob("*")}
    assert folders - known == set()
    named = {path for path in re.findall(r"`([\w/.]+\.py)`", text) if "NAME" not in path and "/" in path}
    roots = (ROOT, ROOT / "landscape")
    assert {path for path in named if not any((root / path).exists() for root in roots)} == set()


def test_the_reference_lists_every_public_name() -> None:
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\.\. auto(?:class|function):: (\w+)$", text, flags=re.MULTILINE)
    kinds = {name for name in vars(landscape.results) if re.fullmatch(r"\w+Result", name)}
    assert {*landscape.__all__, *kinds} - {"__version__"} - {*listed} == set()
    assert len(set(listed)) == len(listed)
