"""Whatever is wrong, a user gets one clear line on stderr and exit status 2, and files stay as they are."""

import pickle
import shlex
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from landscape.errors import LandscapeError
from landscape.storage.loading import load

TINY = "--data npz:tiny.npz --points 3 --precision float32"
OWN = "--data npz:tiny.npz --normalize none --points 3"
FOREIGN = "foreign.pt"


class Code:
    """Pickles as a call, as malicious files do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this must never run",)


@pytest.fixture(scope="module")
def zoo(trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a good pair, and files of every kind that cannot be used."""
    folder = tmp_path_factory.mktemp("zoo")
    shutil.copy(trained.sam, folder / "sam.pt")
    shutil.copy(trained.adam, folder / "adam.pt")
    shutil.copy(trained.npz, folder / "tiny.npz")

    raw, content = trained.sam.read_bytes(), torch.load(trained.sam, weights_only=True)
    first = next(iter(content["state"]))
    state = {name: tensor for name, tensor in content["state"].items() if name != first}
    nan = content["state"][first].clone()
    nan.view(-1)[0] = float("nan")
    (folder / "empty.pt").touch()
    (folder / "truncated.pt").write_bytes(raw[: len(raw) // 2])
    (folder / "text.pt").write_text("hello")
    (folder / FOREIGN).write_bytes(pickle.dumps(Code()))
    torch.save({"model": Code()}, folder / "object.pt")
    torch.save(content["state"], folder / "weights.pt")
    torch.save({**content, "state": state}, folder / "lacking.pt")
    torch.save({**content, "state": {**state, first: torch.zeros(3)}}, folder / "reshaped.pt")
    torch.save({**content, "state": {**state, first: nan}}, folder / "nan.pt")
    torch.save({**content, "version": 99}, folder / "newer.pt")
    torch.save({**content, "model": "vgg"}, folder / "unknown.pt")
    torch.save({**content, "data": {**content["data"], "spec": "folder"}}, folder / "of-a-folder.pt")
    torch.save({"0.weight": torch.zeros(10, 64)}, folder / "linear.pt")
    torch.save({"1.weight": torch.zeros(5, 64)}, folder / "five.pt")

    arrays = dict(np.load(trained.npz))
    few = {split: arrays[f"{split}_labels"] < 5 for split in ("train", "test")}
    np.savez(folder / "five.npz", **{name: array[few[name.split("_")[0]]] for name, array in arrays.items()})
    wide = {name: array.repeat(2, 1).repeat(2, 2) if "images" in name else array for name, array in arrays.items()}
    np.savez(folder / "wide.npz", **wide)
    np.savez(folder / "train.npz", **{name: array for name, array in arrays.items() if "train" in name})
    (folder / "empty.npz").touch()

    (folder / "empty.h5").touch()
    (folder / "garbage.h5").write_bytes(b"garbage" * 99)
    with h5py.File(folder / "foreign.h5", "w") as file:
        file["x"] = 1
    (folder / "folder").mkdir()
    (folder / "mine.py").write_text(
        "from torch import nn\n"
        "def make(classes=10): return nn.Sequential(nn.Linear(64, classes, bias=False))\n"
        "def five(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 5, bias=False))\n"
        "def fails(): raise ValueError('no such\\nluck')\n"
        "def quits(): raise SystemExit(3)\n"
        "def number(): return 3\n"
        "constant = 3\n"
        "def bad_loss(outputs, targets): raise RuntimeError('never mind')\n"
    )
    (folder / "broken.py").write_text("raise RuntimeError('not today')\n")
    return folder


@pytest.mark.parametrize(
    ("command", "words"),
    [
        # words that do not parse
        ("trian", ["unknown command 'trian'", "did you mean train?"]),
        ("frobnicate", ["expected one of demo, train"]),
        ("train --epochs abc", ["--epochs", "'abc'", "int", "see landscape train --help"]),
        ("train --epoch 3", ["unknown option --epoch;", "did you mean --epochs?"]),
        ("train --lr fast", ["--lr", "'fast'", "float"]),
        ("train adam digits", ["digits", "see landscape train --help"]),
        ("surface sam.pt --normalization pixel", ["--normalization", "pixel", "'filter', 'layer'"]),
        ("surface sam.pt --points", ["--points", "see landscape surface --help"]),
        ("surface sam.pt --normalize 0.1,x/0.2,0.2", ["--normalize 0.1,x/0.2,0.2", "or none"]),
        # checkpoints
        ("surface", ["at least one checkpoint"]),
        (f"surface nope.pt {TINY}", ["no such file: nope.pt"]),
        (f"surface empty.pt {TINY}", ["empty.pt is empty"]),
        (f"surface truncated.pt {TINY}", ["truncated.pt is truncated or damaged"]),
        (f"surface text.pt {TINY}", ["text.pt is not a landscape checkpoint"]),
        (f"surface {FOREIGN} {TINY}", ["pickled objects, which are never run"]),
        (f"surface object.pt {TINY}", ["pickled objects, which are never run"]),
        (f"surface weights.pt {TINY}", ["not a landscape checkpoint", "add --model"]),
        (f"surface lacking.pt {TINY}", ["lacking.pt: the weights do not fit", "conv1.weight missing"]),
        (f"surface reshaped.pt {TINY}", ["reshaped.pt", "conv1.weight (3,) instead of (16, 1, 3, 3)"]),
        (f"surface nan.pt {TINY}", ["nan.pt", "NaN or inf in conv1.weight"]),
        (f"surface newer.pt {TINY}", ["newer.pt has checkpoint format 99"]),
        (f"surface unknown.pt {TINY}", ["unknown.pt: unknown model 'vgg'"]),
        (f"surface folder {TINY}", ["folder is a folder"]),
        (f"surface sam.pt ./sam.pt {TINY}", ["sam.pt is named twice"]),
        # data
        ("surface sam.pt", ["data of your own", "--data npz:FILE"]),
        ("surface of-a-folder.pt", ["data of your own", "--data folder:PATH"]),
        ("surface sam.pt --data mnist", ["unknown data 'mnist'", "expected digits, cifar10"]),
        ("surface sam.pt --data npz:nope.npz", ["no such file: nope.npz"]),
        ("surface sam.pt --data npz:empty.npz", ["empty.npz is empty"]),
        ("surface sam.pt --data npz:five.npz", ["trained on 10 classes, the data has 5"]),
        ("surface sam.pt --data npz:wide.npz", ["inputs of shape (1, 8, 8)", "(1, 16, 16)"]),
        ("surface sam.pt --data folder:nope", ["nope/train/CLASS"]),
        ("surface sam.pt --data nope:data", ["no module 'nope'"]),
        ("surface sam.pt --data npz:train.npz --splits train,test", ["no split 'test' in the data; it has train"]),
        (f"surface sam.pt {TINY} --splits train,", ["--splits train,", "each once"]),
        (f"surface sam.pt {TINY} --splits train,train", ["--splits train,train", "each once"]),
        (f"surface sam.pt {TINY} --normalize 0.5", ["--normalize 0.5; expected means/standard deviations"]),
        (f"surface sam.pt {TINY} --normalize 0.5,0.5/1,1", ["need 1 values"]),
        (f"surface sam.pt {TINY} --image-size 8", ["image size"]),
        # numbers
        ("surface sam.pt --data npz:tiny.npz --points 0", ["got 0 points", "odd number"]),
        ("surface sam.pt --data npz:tiny.npz --points 4", ["got 4 points", "odd number"]),
        ("surface sam.pt --data npz:tiny.npz --points 5x4", ["got 4 points", "odd number"]),
        ("surface sam.pt --data npz:tiny.npz --points many", ["--points many", "51x31"]),
        ("surface sam.pt --data npz:tiny.npz --points 3x3x3", ["--points 3x3x3", "51x31"]),
        ("surface sam.pt --data npz:tiny.npz --points 5x3 --plane line", ["5x3 for a line", "one number"]),
        (f"surface sam.pt {TINY} --span 0", ["span of 0.0", "positive"]),
        (f"surface sam.pt {TINY} --span nan", ["span of nan", "positive"]),
        (f"surface sam.pt {TINY} --subset 0", ["--subset 0", "positive number of examples, or all"]),
        (f"surface sam.pt {TINY} --subset abc", ["--subset abc", "positive number of examples, or all"]),
        (f"surface sam.pt {TINY} --subset ²", ["--subset ²"]),
        (f"surface sam.pt {TINY} --seed -1", ["--seed -1"]),
        (f"surface sam.pt {TINY} --seed 99999999999999999999", ["--seed 99999999999999999999"]),
        (f"surface sam.pt {TINY} --device tpu", ["device 'tpu' cannot be used here"]),
        (f"surface sam.pt {TINY} --plane between", ["--plane between takes 2 checkpoints", "got 1"]),
        (f"surface sam.pt adam.pt {TINY} --plane between,line", ["--plane between,line", "one direction, or two"]),
        (f"surface sam.pt adam.pt {TINY} --plane between --beyond nan", ["--beyond nan"]),
        (f"surface sam.pt {TINY} --beyond 1", ["--beyond is for --plane between"]),
        ("hessian sam.pt --top 0", ["at least one eigenvalue"]),
        ("hessian sam.pt --top -1", ["--top -1"]),
        ("hessian sam.pt --tolerance 0", ["--tolerance 0"]),
        ("hessian sam.pt --max-products 0", ["--max-products 0"]),
        ("hessian sam.pt --batchnorm batch", ["--batchnorm batch", "derivatives"]),
        ("hessian linear.pt --data npz:tiny.npz --normalize none --model mine:flat --top 3", ["mine has no 'flat'"]),
        ("sharpness sam.pt --rho 0", ["--rho 0"]),
        ("sharpness sam.pt --rho 1e-3,", ["--rho", "float: ''"]),
        ("sharpness sam.pt --rho nan", ["--rho nan"]),
        ("sharpness sam.pt --pairs 0", ["--pairs 0"]),
        # losses, parameters, names
        (
            f"surface sam.pt {TINY} --loss huber",
            ["unknown loss 'huber'", "cross_entropy, mse or package.module:function"],
        ),
        (f"surface sam.pt {TINY} --loss mine:constant", ["mine:constant is int"]),
        (f"surface sam.pt {TINY} --loss mine:bad_loss", ["never mind"]),
        (f"surface sam.pt {TINY} --params head.*", ["no trainable parameter matches 'head.*'"]),
        (f"surface sam.pt {TINY} --name a/b", ["--name 'a/b'"]),
        (f"surface sam.pt {TINY} --name ..", ["--name '..'"]),
        (f"surface sam.pt {TINY} --name history", ["--name 'history'"]),
        (f"surface sam.pt {TINY} --model-args '{{\"a\": 1}}'", ["--model-args", "--model"]),
        # models of one's own
        ("surface linear.pt --model mine:make", ["linear.pt does not say which data", "--data"]),
        (
            "surface linear.pt --model mine:make --data npz:tiny.npz",
            ["normalization", "--normalize MEAN/STD, or --normalize none"],
        ),
        (f"surface linear.pt {OWN} --model nope:make", ["no module 'nope'"]),
        (f"surface linear.pt {OWN} --model nope.py:make", ["no such Python file: nope.py"]),
        (f"surface linear.pt {OWN} --model mine", ["unknown model 'mine'", "package.module:factory"]),
        (f"surface linear.pt {OWN} --model mine:maek", ["mine has no 'maek'; did you mean make?"]),
        (f"surface linear.pt {OWN} --model broken:make", ["importing broken failed", "not today"]),
        (
            f"surface linear.pt {OWN} --model mine:fails",
            ["mine:fails failed: ValueError: no such luck (mine.py, line 4)"],
        ),
        (f"surface linear.pt {OWN} --model mine:quits", ["mine:quits failed", "SystemExit"]),
        (f"surface linear.pt {OWN} --model mine:number", ["mine:number returned int", "torch.nn.Module"]),
        (f"surface linear.pt {OWN} --model mine:constant", ["mine:constant is int"]),
        (f"surface linear.pt {OWN} --model mine:make --model-args [1]", ["--model-args [1]", "JSON object"]),
        (
            f"surface linear.pt {OWN} --model mine:make --model-args classes=5",
            ["--model-args classes=5", "JSON object"],
        ),
        (
            f"surface linear.pt {OWN} --model mine:make --model-args '{{\"a\": 1}}'",
            ["mine:make takes (classes=10)", "'a'"],
        ),
        (
            f"surface linear.pt {OWN} --model mine:make --model-args '{{\"classes\": 5}}'",
            ["0.weight (10, 64) instead of (5, 64)"],
        ),
        (f"surface linear.pt {OWN} --model mine:make", ["does not take a batch of inputs of shape (8, 1, 8, 8)"]),
        (f"surface five.pt {OWN} --model mine:five", ["the labels run from 0 to 9, but the model has 5 outputs"]),
        (f"surface truncated.pt {OWN} --model mine:make", ["truncated.pt is truncated or damaged"]),
        # where results go
        (f"surface sam.pt {TINY} --out empty.h5", ["cannot read empty.h5: it is empty"]),
        (f"surface sam.pt {TINY} --out garbage.h5", ["cannot read garbage.h5", "no HDF5 file"]),
        (f"surface sam.pt {TINY} --out foreign.h5", ["foreign.h5 is an HDF5 file, but not a landscape analysis file"]),
        (f"surface sam.pt {TINY} --out adam.pt", ["cannot read adam.pt"]),
        (f"surface sam.pt {TINY} --out folder", ["folder is a folder"]),
        (f"surface sam.pt {TINY} --out .", [". is a folder"]),
        (f"surface sam.pt {TINY} --out sam.pt/f.h5", ["cannot write sam.pt/f.h5: sam.pt is a file, not a folder"]),
        # report and info
        ("report", ["no analysis file (.h5) here", "landscape surface"]),
        ("report nope.h5", ["no such file: nope.h5"]),
        ("report empty.h5", ["empty.h5: it is empty"]),
        ("report garbage.h5", ["garbage.h5", "no HDF5 file"]),
        ("report foreign.h5", ["not a landscape analysis file"]),
        ("report folder", ["folder is a folder"]),
        ("report --out sam.h5", ["--out sam.h5", ".html"]),
        ("info", ["expected at least one"]),
        ("info nope.pt", ["no such file: nope.pt"]),
        ("info empty.pt", ["empty.pt is empty"]),
        ("info truncated.pt", ["truncated.pt is truncated"]),
        (f"info {FOREIGN}", ["pickled objects, which are never run"]),
        ("info garbage.h5", ["garbage.h5"]),
        ("info tiny.npz", ["tiny.npz is data"]),
        ("info folder", ["folder is a folder"]),
        # training
        ("train best", ["unknown recipe 'best'; known: adam, sam, asam, gsam,"]),
        ("train adam --model vgg", ["--model vgg", "resnet20"]),
        ("train adam --data mnist", ["unknown data 'mnist'"]),
        ("train adam --data npz:nope.npz", ["no such file: nope.npz"]),
        ("train adam --epochs 0", ["epochs must be at least 1"]),
        ("train adam --batch-size 0", ["batch_size must be at least 1"]),
        ("train adam --data npz:tiny.npz", ["batch_size 128 is more than the 64"]),
        ("train adam --lr 0", ["lr must be a finite number above 0"]),
        ("train adam --rho -1", ["rho must be"]),
        ("train adam --set warmup=1", ["warmup must be"]),
        ("train adam --set warmup=slow", ["got --set warmup=slow; expected warmup as float"]),
        ("train adam --set warm=0", ["got --set warm=0; expected KEY=VALUE with a key of", "warmup"]),
        ("train adam --set lr=1", ["got --set lr=1; expected KEY=VALUE"]),
        ("train adam --set p", ["got --set p; expected p as float"]),
        ("train adam --seed -1", ["got --seed -1; expected a whole number of at least 0"]),
        ("train adam --seed 99999999999999999999", ["--seed 99999999999999999999"]),
        ("train adam --set augment=spin", ["unknown augment 'spin'", "crop-flip"]),
        ("train adam --data npz:tiny.npz --batch-size 8 --device tpu", ["device 'tpu'"]),
        ("train pair --out both.pt", ["a pair makes two checkpoints", "folder"]),
        ("train adam --out sam.pt/a.pt", ["sam.pt is a file, not a folder"]),
        ("train adam --out weights.pt --overwrite", ["weights.pt exists and is no landscape checkpoint"]),
        (
            "train adam --data npz:tiny.npz --batch-size 32 --out sam.pt",
            ["exists with other settings: recipe is sam there"],
        ),
    ],
)
def test_one_clear_line(run, zoo: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: list[str]) -> None:
    monkeypatch.chdir(zoo)
    before = {path: path.read_bytes() for path in zoo.rglob("*") if path.is_file()}
    outcome = run(*shlex.split(command))
    outcome.refused(*words)
    assert "this must never run" not in outcome.out + outcome.err
    for path, content in before.items():
        assert path.read_bytes() == content, path


def test_a_diverging_training_is_one_line_and_leaves_no_file(run, pair) -> None:
    outcome = run("train", "adam", *pair.data, "--batch-size", "32", "--lr", "1e30", "--epochs", "1", "--out", "a.pt")
    assert outcome.code == 2
    assert "take an lr below" in outcome.err.splitlines()[-1]
    assert not Path("a.pt").exists()


def test_other_pixels_are_warned_about(run, pair, tmp_path: Path) -> None:
    arrays = dict(np.load(pair.npz))
    np.savez(tmp_path / "inverted.npz", **{**arrays, "train_images": 255 - arrays["train_images"]})
    outcome = run("surface", pair.sam, "--data", "npz:inverted.npz", "--points", "3")
    assert outcome.code == 0
    assert "warning: sam was trained on other examples: the train data's fingerprint differs" in outcome.err
    assert "warning: sam does NOT reproduce the loss" in outcome.err
    assert load("results/sam.h5")["sam/plane"].attributes["reference"]["agrees"] is False


def test_an_error_late_in_a_run_leaves_the_file_as_it_was(run, pair) -> None:
    run("surface", pair.sam, *pair.data, "--points", "3")
    before = Path("results/sam.h5").read_bytes()
    for words in (["--params", "head.*"], ["--loss", "nope"], ["--params", "*.bias"]):
        outcome = run("surface", pair.sam, pair.adam, *pair.data, "--points", "3", *words, "--out", "results/sam.h5")
        assert outcome.code == 2
        assert Path("results/sam.h5").read_bytes() == before


def test_a_bug_is_no_expected_error(run, pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landscape.cli.commands.surface.SurfaceCommand.run", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("surface", pair.sam)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] data. DefaultCPUAllocator: not enough memory: you tried"),
    ],
    ids=["Python", "CUDA", "CPU"],
)
def test_no_memory_is_one_line(run, pair, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def exhausted(self: object) -> None:
        raise error

    monkeypatch.setattr("landscape.cli.commands.surface.SurfaceCommand.run", exhausted)
    run("surface", pair.sam).refused("out of memory", "--subset")


def test_the_traceback_of_a_worker_precedes_the_line(run, pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        error = LandscapeError("a worker failed: KeyError: 7 (mine.py, line 3)")
        error.add_note('Traceback (most recent call last):\n  File "mine.py", line 3')
        raise error

    monkeypatch.setattr("landscape.workflow.measurements.surface.measure_points", fails)
    outcome = run("surface", "sam.pt", *TINY.split())
    assert outcome.code == 2
    assert outcome.err.endswith('  File "mine.py", line 3\nerror: a worker failed: KeyError: 7 (mine.py, line 3)\n')
