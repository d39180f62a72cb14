"""Grids: refinement and regions, and the metrics and tolerances of their points."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray

import landscape
from landscape.analysis.surfaces.measuring import Measurer
from landscape.execution import Workers
from landscape.results import SurfaceResult
from landscape.stats import number_format
from landscape.storage.loading import load

QUICK = ("--precision", "float32")


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every pass that is really made."""
    made: list[Any] = []
    launch = Measurer.launch

    def noted(self: Measurer, request: Any) -> Any:
        made.append(request)
        return launch(self, request)

    monkeypatch.setattr(Measurer, "launch", noted)
    return made


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """A tiny network of the user's own, with weights and data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "landscape.analysis.surfaces.evaluation.choose_batch_size", lambda *_: (200, 1e5)
    )  # it is timed
    Path("mine.py").write_text(
        "import torch\n"
        "def make(): return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))\n"
        "def margin(o, t): return o.topk(2, dim=1).values.diff(dim=1).neg().squeeze(1)\n"
        "def entropy(o, t): return torch.distributions.Categorical(logits=o).entropy()\n"
    )
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 6, generator=generator)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long()
    np.savez("mine.npz", train_inputs=x.numpy(), train_labels=y.numpy())
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    torch.save(model.state_dict(), "mine.pt")
    return "surface", "mine.pt", "--model", "mine.py:make", "--data", "npz:mine.npz", "--subset", "all", *QUICK


def surface_at(**axes: Any) -> SurfaceResult:
    """Measure the surface of the same seed at given coordinates, without the command line."""
    arrays = np.load("mine.npz")
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    model.load_state_dict(torch.load("mine.pt", weights_only=True))
    inputs, labels = torch.tensor(arrays["train_inputs"]), torch.tensor(arrays["train_labels"])
    objective = landscape.Objective(model, "cross_entropy", inputs, labels, batch_size=200, precision="float32")
    measurement = landscape.Surface(axes=landscape.Axes(**axes), evaluation=landscape.Evaluation("float32"))
    with landscape.AnalysisFile("direct.h5") as file:
        return file.measure(measurement, objective, name="mine/plane")


def plane(path: str = "results/mine.h5", name: str = "mine/plane") -> SurfaceResult:
    found = load(path)[name]
    assert isinstance(found, SurfaceResult)
    return found


def test_a_finer_grid_takes_over_the_points_of_a_finished_one(run, mine, passes) -> None:
    assert run(*mine, "--points", "3").code == 0
    passes.clear()
    finer = run(*mine, "--points", "5x7")
    assert finer.code == 0
    taken = {(a, b) for a in (-1.0, 0.0, 1.0) for b in (-1.0, 0.0, 1.0)}
    assert "mine/plane-2: 9 points are taken from a result on other axes" in finer.err
    assert {(alpha, beta) for _, alpha, beta in passes}.isdisjoint(taken)
    assert len(passes) == 35 - 9
    assert run(*mine, "--points", "5x7", "--out", "direct.h5").code == 0
    refined, direct = plane(name="mine/plane-2"), plane("direct.h5")
    assert refined.complete
    assert refined.grid("loss").tobytes() == direct.grid("loss").tobytes()
    assert refined.grid("loss", column="stderr").tobytes() == direct.grid("loss", column="stderr").tobytes()


def test_points_in_another_precision_are_not_taken_over(run, mine, passes) -> None:
    run(*mine, "--points", "3", "--name", "same")
    passes.clear()
    other = [word if word != "float32" else "float64" for word in mine]
    assert "are taken" not in run(*other, "--points", "5").err
    assert len(passes) == 25


def test_a_region_joins_the_points_of_a_finished_plane(run, mine, interrupt, passes) -> None:
    run(*mine, "--points", "11")
    coarse = plane()
    region = (*mine, "--region=-0.2,0.2,0,0.4", "--points", "5x3")
    passes.clear()
    assert interrupt(*region, after=4).code == 130  # three points, after the ones that are there
    resumed = run(*region)
    assert "mine/plane: adding a region: 3 points left" in resumed.err
    fine = plane()
    assert fine.grid("loss").tobytes() == coarse.grid("loss").tobytes()
    off = fine.points[~(np.isin(fine.points["alpha"], fine.alpha) & np.isin(fine.points["beta"], fine.beta))]
    assert set(zip(off["alpha"].tolist(), off["beta"].tolist(), strict=True)) == {
        (a, b) for a in (-0.1, 0.1) for b in (0.0, 0.2, 0.4)
    }
    assert len(passes) == 6 + 1  # none twice, but for the one in flight
    assert fine.attributes["regions"] == [{"alpha": [-0.2, 0.2, 5], "beta": [0.0, 0.4, 3]}]
    direct = surface_at(alpha=(-0.1, 0.0, 0.1), beta=(0.2,)).grid("loss")[0]
    for row in off[(off["metric"] == 0) & (off["beta"] == 0.2)]:
        assert row["value"] == direct[0, 0 if row["alpha"] < 0 else 2]
    before = Path("results/mine.h5").read_bytes()
    assert "already in results/mine.h5" in run(*region).err
    assert Path("results/mine.h5").read_bytes() == before
    assert run("info", "results/mine.h5").code == 0
    assert run("report").code == 0


def test_metrics_of_the_user_s_own_and_the_gradient_s_norm(run, mine) -> None:
    words = (*mine, "--points", "3", "--metrics", "mine.py:margin,mine.py:entropy,gradient_norm")
    assert run(*words).code == 0
    found = plane()
    assert found.metrics == ("loss", "accuracy", "margin", "entropy", "gradient_norm")
    assert (found.grid("margin") > 0).all()
    for metric in found.metrics:
        assert (found.grid(metric, column="stderr") > 0).all(), metric
    with xarray.open_dataset("results/mine.h5", engine="h5netcdf", group="mine/plane") as data:
        assert data["gradient_norm"].dims == ("split", "y", "x")
    assert "mine/plane-2" in run(*mine, "--points", "3").out  # what is measured is one of the settings


def test_a_tolerance_states_its_error_and_its_saving(run, mine, passes) -> None:
    words = (*mine, "--points", "21x17", "--tolerance", "0.05")
    outcome = run(*words)
    assert outcome.code == 0
    found, report = plane(), plane().attributes["tolerance"]
    assert found.complete
    assert f"95% of the points are within {number_format.share(report['measured_95'])} (asked: 5.0%)" in outcome.err
    assert f"{number_format.number(report['saving'], 3)} times fewer evaluations than an exact surface" in outcome.err
    assert report["saving"] > 1.5
    levels = [level["points"] for level in report["levels"]]
    assert levels[0] + levels[1] == len(passes)
    run(*mine, "--points", "21x17", "--out", "exact.h5")
    exact = plane("exact.h5").grid("loss")[0]
    assert np.quantile(np.abs(found.grid("loss")[0] / exact - 1), 0.95) < 0.05
    known = ~np.isnan(found.grid("loss", level=1)[0])
    assert known.sum() == levels[0]
    np.testing.assert_array_equal(found.grid("loss")[0][known], exact[known])
    assert f"{21 * 17} points" in run("info", "results/mine.h5").out or run("info", "results/mine.h5").code == 0
    assert run("report").code == 0
    # A region says how good its own estimates are.
    region = run(*words[:-4], "--region=-0.5,0.5,-0.5,0.5", "--points", "21x17", "--tolerance", "0.05")
    assert region.code == 0, region.err
    joined = plane().attributes
    assert joined["tolerance"] == report
    assert joined["regions"][0]["tolerance"]["asked"] == 0.05
    assert joined["regions"][0]["tolerance"] != report
    # The same again is found; exact is another setting, and none of its points are estimates.
    assert "already" in run(*words).err
    passes.clear()
    assert "mine/plane-2" in run(*mine, "--points", "21x17").out
    assert len(passes) == 21 * 17


def test_workers_and_their_threads_are_recorded(run, mine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Alone(Workers):
        threads = 1
        is_inline = False

        def map(self, task, requests):
            seen[:] = [self.count, task.threads]
            return task(requests)

    seen: list[int] = []
    run(*mine, "--points", "3")
    monkeypatch.setattr("landscape.cli.requests.execution.open_workers", lambda workers, *_, **__: Alone(workers, None))
    assert run(*mine, "--points", "3", "--workers", "2", "--out", "two.h5").code == 0
    assert seen == [2, 1]
    assert plane("two.h5").attributes["threads"] == 1
    assert plane("two.h5").points.tobytes() == plane().points.tobytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--region=0,1,0,1"], ["no finished result of mine", "measure it without --region first"]),
        (["--region=0,1"], ["got --region 0.0,1.0; expected X0,X1,Y0,Y1"]),
        (["--workers", "0"], ["got --workers 0; expected a whole number of at least 1"]),
        (["--tolerance", "1"], ["got --tolerance 1.0; expected a relative error"]),
        (["--metrics", "mine.py:nothing"], ["has no 'nothing'"]),
        (["--metrics", "mine.py:margin,./mine.py:margin"], ["two of --metrics are called margin"]),
        (["--metrics", "torch:pi"], ["torch:pi is float; expected a function"]),
        (["--metrics", "torch:add"], ["the metric add"]),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(run, mine, options, words) -> None:
    run(*mine, "--points", "3", *options).refused(*words)
    assert not Path("results/mine.h5").exists()


def test_a_region_outside_of_order_is_refused(run, mine) -> None:
    run(*mine, "--points", "3")
    run(*mine, "--region=1,0,0,1").refused("the smaller one first")
