import ast
import dataclasses
import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import landscape
from landscape.cli.parsing import COMMANDS

CLI = Path(landscape.__file__).parent / "cli"
OPTIONS = [*CLI.glob("options/*.py"), *CLI.glob("commands/*.py")]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_overview_names_every_command(run, words: list[str]) -> None:
    outcome = run(*words)
    assert outcome.code == 0
    assert all(f"landscape {command} " in outcome.out for command in COMMANDS)
    assert max(map(len, outcome.out.splitlines())) <= 80


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_with_its_default(
    run, monkeypatch: pytest.MonkeyPatch, command: str, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    outcome = run(command, "--help")
    assert outcome.code == 0
    assert outcome.err == ""
    assert max(map(len, outcome.out.splitlines())) <= columns
    text = " ".join(line.strip("│ ") for line in outcome.out.splitlines())
    options = text.count(" --") - text.count(" --help")
    assert "(default:" in text
    assert "None" not in text
    assert "INT" not in text
    assert options > 0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_newcomer_can_read_a_commands_options(command: str) -> None:
    assert len(dataclasses.fields(COMMANDS[command][0])) <= 34  # what hardly anyone combines belongs in Python


@pytest.mark.parametrize("path", sorted(OPTIONS), ids=lambda path: path.stem)
def test_help_texts_are_one_line_which_tyro_wraps(path: Path) -> None:
    """It keeps the line breaks of longer ones; those are an argument `help`."""
    bodies = [node.body for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    texts = [
        text.value.value
        for body in bodies
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    ]
    assert [text for text in texts if "\n" in text] == []


def test_the_version(run) -> None:
    outcome = run("--version")
    assert (outcome.code, outcome.out) == (0, f"landscape {landscape.__version__}\n")


def test_as_a_program_it_starts_fast_and_without_torch(tmp_path: Path) -> None:
    script = "import sys; from landscape.cli import main; main(['--help']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")
    assert done.stderr == ""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_reader_that_stops_early_is_no_error(tmp_path: Path) -> None:
    script = f"{sys.executable} -m landscape surface --help | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "usage: lan", "")


def test_terminals_without_greek_letters(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "landscape", "sharpness", "--help"],
        cwd=tmp_path, capture_output=True, check=True, env={"PYTHONIOENCODING": "ascii", "PATH": "", "COLUMNS": "80"},
    )  # fmt: skip
    assert b"Keskar's ?-sharpness" in done.stdout
