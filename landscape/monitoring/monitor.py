"""A monitor of any training loop: measures at every so many steps, stored so that a kill loses none."""

from __future__ import annotations

import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from landscape.analysis.objective.at_weights import at_weights
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.provenance import describe
from landscape.errors import LandscapeError
from landscape.monitoring.measures.protocol import MonitorMeasure, Probe, Reading
from landscape.monitoring.measures.registry import chosen_measures
from landscape.results import DynamicsResult, with_attributes
from landscape.stats.dynamics import appended, before, empty_dynamics
from landscape.stats.stability import StepRule
from landscape.storage.json_values import jsonable
from landscape.storage.result_file import ResultFile


class MonitorWarning(UserWarning):
    """A measure of the monitor found something wrong with the run."""


class Monitor:
    """Curvature, sharpness and other quantities of a training loop at every so many steps.

    The model, the optimizer, the gradients, the mode and the random state are left as they are, to the bit. Each probe
    is stored before `step` returns, so that a kill loses none; a resumed run continues the same result.

    >>> import torch, landscape
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> objective = landscape.Objective(model, "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> monitor = Monitor(objective, every=10, measures=["lambda_max", "critical_step"])
    >>> for step in range(1, 21):
    ...     optimizer.zero_grad()
    ...     torch.nn.functional.mse_loss(model(torch.eye(2)), torch.ones(2, 1)).backward()
    ...     optimizer.step()
    ...     readings = monitor.step(step, model, optimizer)
    >>> monitor.result.position.tolist(), monitor.result.series("lambda_max").round(3).tolist()
    ([10.0, 20.0], [1.0, 1.0])

    Args:
        objective: model, loss and the examples to measure on; a thousand are usual. Its model's weights do not matter.
        every: number of steps between probes; steps that it divides are probed.
        measures: names such as "lambda_max", "sam", "gradient_norm" and "critical_step", which are the default, with
            "sam_doctor" for a SAM optimizer (all are in `landscape.monitoring.measures.registry`), or objects with the
            methods of `MonitorMeasure`.
        file: analysis file that the probes are stored in; none by default.
        name: of the result in it, `<weights>/<result>`.
        seed: of random vectors.
        overwrite: begin anew if the file holds a result of that name.

    Raises:
        LandscapeError: for an unknown measure, or a stored result of that name with other measures.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        every: int = 100,
        measures: Sequence[str | MonitorMeasure] | None = None,
        file: str | Path | None = None,
        name: str = "run/dynamics",
        seed: int = 0,
        overwrite: bool = False,
    ) -> None:
        if every < 1:
            raise LandscapeError(f"expected a probe every 1 or more steps, got every = {every}")
        self.objective, self.every, self.seed = objective, every, seed
        self.measures = chosen_measures(measures)
        self.file, self.name = None if file is None else Path(file), name
        self._memories: list[dict[str, Any]] = [{} for _ in self.measures]
        self._before: tuple[int, dict[str, Tensor]] | None = None  # step and weights
        self._module: tuple[nn.Module, nn.Module] | None = None  # as given to `step`, and the one to measure
        self._needs_previous = any(measure.needs_previous for measure in self.measures)
        self.result = (None if overwrite else self._stored()) or self._empty()

    def step(
        self, step: int, model: nn.Module, optimizer: Optimizer, *, learning_rate: float | None = None
    ) -> dict[str, float]:
        """Probe the run after a step, if it is one to probe; call it right after `optimizer.step()`.

        Call it at every step: the critical step size needs the weights before the probed one.

        Args:
            step: number of the step.
            model: that is trained, also inside wrappers; its parameters are matched with the objective's by name.
            optimizer: of the loop.
            learning_rate: step size that was used; by default the optimizer's now, so that a schedule steps afterwards.

        Returns:
            The quantities by name; empty at a step that is not probed.
        """
        readings: list[Reading] = []
        if self._module is None or self._module[0] is not model:
            self._module = model, matching_module(model, self.objective.origin)
        model = self._module[1]
        if step % self.every == 0:
            readings = self._probe(step, model, optimizer, learning_rate)
        if self._needs_previous and (step + 1) % self.every == 0:
            self._before = step, {name: value.detach().clone() for name, value in model.state_dict().items()}
        return {reading.quantity: reading.value for reading in readings}

    def _probe(self, step: int, model: nn.Module, optimizer: Optimizer, learning_rate: float | None) -> list[Reading]:
        started = time.perf_counter()
        previous = None
        if self._before is not None and self._before[0] == step - 1:
            previous = at_weights(self.objective, self._before[1])
        objective = at_weights(self.objective, model.state_dict())
        size = float(optimizer.param_groups[0]["lr"]) if learning_rate is None else learning_rate
        probe = Probe(step, objective, previous, model, optimizer, size, self.seed)
        rule = step_rule(optimizer)
        readings = [Reading("learning_rate", probe.learning_rate)]
        readings += [] if rule is None else [Reading("edge", rule.edge(probe.learning_rate))]
        kind = self.objective.device.type
        with torch.enable_grad(), torch.autocast(kind, enabled=False):  # whatever the loop has switched on
            for measure, memory in zip(self.measures, self._memories, strict=True):
                readings += measure.read(probe, memory)
        self._before = None
        readings = list({reading.quantity: reading for reading in readings}.values())
        self._add(step, readings, rule, time.perf_counter() - started)
        return readings

    def _add(self, step: int, readings: Sequence[Reading], rule: StepRule | None, seconds: float) -> None:
        """Add a probe to the result and store it; probes at or after its step, of a killed attempt, are replaced."""
        old = before(self.result, step)
        kinds = {reading.quantity: reading.error_kind for reading in readings if reading.error_kind}
        known = list(old.attributes.get("warnings", ()))
        new_warnings = [f"step {step}: {reading.warning}" for reading in readings if reading.warning]
        if new_warnings and not known:
            warnings.warn(new_warnings[0], MonitorWarning, stacklevel=4)
        attributes = {
            "errors": {**old.attributes.get("errors", {}), **kinds},
            **({} if rule is None else {"step_rule": rule.attributes()}),
            "seconds": float(old.attributes.get("seconds", 0.0)) + seconds,
            **({"warnings": [*known, *new_warnings]} if known or new_warnings else {}),
        }
        new = {reading.quantity: (reading.value, reading.error) for reading in readings}
        self.result = with_attributes(appended(old, float(step), new), **attributes)
        if self.file is not None:
            with ResultFile(self.file) as file:
                file.put(self.name, self.result)

    def _empty(self) -> DynamicsResult:
        label = self.name.rpartition("/")[0]
        attributes = {
            **describe(self.objective),
            "checkpoint": label,
            "model": type(self.objective.network.module).__name__,
            "position": "step",
            "settings": self._settings(),
        }
        return with_attributes(empty_dynamics(), **jsonable(attributes))

    def _settings(self) -> dict[str, Any]:
        measures = [{"name": measure.name, **measure.parameters()} for measure in self.measures]
        return {"every": self.every, "seed": self.seed, "measures": measures, "loss": self.objective.loss_name}

    def _stored(self) -> DynamicsResult | None:
        """Return the result that an earlier attempt stored; None if there is none.

        Raises:
            LandscapeError: if it is of other measures.
        """
        if self.file is None or not self.file.exists():
            return None
        with ResultFile(self.file) as file:
            stored = file.results.get(self.name)
        if stored is None:
            return None
        settings = jsonable(self._settings())
        if not isinstance(stored, DynamicsResult) or stored.attributes.get("settings") != settings:
            raise LandscapeError(
                f"{self.name} in {self.file} is of other measures or settings; give Monitor another name or file"
            )
        return stored


def matching_module(model: nn.Module, names: Collection[str]) -> nn.Module:
    """Return the module whose parameters and buffers have these names: the model, or one inside it.

    Wrappers such as `DistributedDataParallel`, `torch.compile`'s and modules of training frameworks are seen through.

    >>> wrapped = nn.ModuleDict({"net": nn.Linear(2, 1)})
    >>> matching_module(wrapped, ["weight", "bias"])
    Linear(in_features=2, out_features=1, bias=True)

    Raises:
        LandscapeError: if there is none, or several.
    """
    wanted = set(names)
    if wanted <= model.state_dict().keys():
        return model
    first = min(wanted)
    prefixes = [name.removesuffix(first) for name in model.state_dict() if name.endswith(f".{first}")]
    matching = [prefix for prefix in prefixes if {prefix + name for name in wanted} <= model.state_dict().keys()]
    if len(matching) != 1:
        raise LandscapeError(
            f"expected a model with one module that has the objective's parameters ({first}, ...), got "
            f"{len(matching)} in {type(model).__name__}; make the objective with the model that is trained"
        )
    return model.get_submodule(matching[0].rstrip("."))


def step_rule(optimizer: Optimizer) -> StepRule | None:
    """Return the rule of an optimizer's step, from the entries of its first group; None for one that is not known.

    >>> w = torch.nn.Parameter(torch.ones(1))
    >>> step_rule(torch.optim.SGD([w], lr=0.1, momentum=0.9)), step_rule(torch.optim.Adam([w])).formula
    (StepRule(method='gradient descent', momentum=0.9), '38/η')
    """
    return rule_of_settings(optimizer.param_groups[0])


def rule_of_settings(settings: Mapping[str, Any]) -> StepRule | None:
    """Return the rule of an optimizer's step from its settings: "betas" of Adam, "momentum" and "nesterov" of SGD."""
    if {"betas", "eps"} <= settings.keys():
        return StepRule("adam", float(settings["betas"][0]))
    if "momentum" in settings and not settings.get("dampening"):
        return StepRule("nesterov" if settings.get("nesterov") else "gradient descent", float(settings["momentum"]))
    return None
