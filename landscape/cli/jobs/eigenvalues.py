"""The spectrum of one checkpoint: what the file has of it, what is missing, and computing that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from landscape.analysis.curvature.eigenvalues import eigenvectors, hessian
from landscape.analysis.curvature.trace import trace
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights
from landscape.analysis.planes.eigenvectors import pair_names
from landscape.cli.commands.hessian import Hessian
from landscape.cli.jobs.fingerprint import code_settings, confirm, stamp
from landscape.cli.jobs.loaded_model import Subject
from landscape.cli.jobs.result_names import claim, deliver, settings_of
from landscape.cli.jobs.second_order import say_time, statistics_mode
from landscape.cli.jobs.subsets import disjoint_subsets
from landscape.cli.jobs.vectors import Keep, vectors_file
from landscape.cli.options.analysis import subset_size
from landscape.cli.terminal import console
from landscape.results import SpectrumResult
from landscape.stats.subset_mean import mean_spectrum
from landscape.storage.analysis_file import AnalysisFile, with_attributes

OF_TRACE = ("trace", "frobenius", "effective_rank", "trace_asked")


def compute(file: AnalysisFile, subject: Subject, options: Hessian) -> tuple[str, SpectrumResult]:
    """Return the name and the spectrum of one checkpoint, computed as far as the file lacks it."""
    return _Job(file, subject, options).run()


class _Job:
    """Eigenvalues, the estimates beside them, and their vectors."""

    def __init__(self, file: AnalysisFile, subject: Subject, options: Hessian) -> None:
        self._file, self._subject, self._options = file, subject, options
        self._settings = settings_of(
            subject,
            batchnorm=statistics_mode(options),
            operator=options.operator,
            top=options.top,
            bottom=options.bottom,
            tolerance=options.tolerance,
            max_products=options.max_products,
            **({"subsets": options.subsets} if options.subsets > 1 else {}),
        )
        base = options.operator + ("-subsets" if options.subsets > 1 else "")
        self.key, self._found = claim(file, subject.label, base, self._settings, options, SpectrumResult)
        name = self.key.replace("/", "-")
        self._keep: Keep | None = None
        if options.vectors:
            self._keep = vectors_file(file.path, name, {**self._settings, "vectors": True, **code_settings(options)})
        self._whole = subject.objective(splits=options.splits[:1], batchnorm=statistics_mode(options))
        self._found = confirm(file, self.key, self._found, self._whole, options)

    def run(self) -> tuple[str, SpectrumResult]:
        """Return the spectrum with all that is asked for, from the file where it is there."""
        found, options = self._found, self._options
        pairs_missing = found is None or (self._keep is not None and self._keep.read() is None)
        asked = {"method": options.trace_method, "products": options.trace_products}
        trace_missing = options.trace and (found is None or found.attributes.get("trace_asked") != asked)
        if found is not None and not pairs_missing and not trace_missing:
            console.say(f"{self.key} is already in {self._file.path} with these settings")
            return self.key, found
        subsets = self._subsets()
        self._subject.reproduce()  # before the long part: its warning may change people's minds
        parts: list[SpectrumResult] = []
        for number, (label, objective) in enumerate(self._objectives(subsets)):
            with_pairs = pairs_missing or options.subsets > 1
            part = self._pairs(label, objective) if with_pairs else found
            assert part is not None
            if trace_missing:
                part = self._with_trace(label, objective, part, asked, seed=options.seed + number)
            parts.append(part)
        spectrum = parts[0] if len(parts) == 1 else mean_spectrum(parts)
        if found is not None and not trace_missing:  # an earlier run's estimates, of the same loss, stay
            spectrum = with_attributes(
                spectrum, **{name: found.attributes[name] for name in OF_TRACE if name in found.attributes}
            )
        return self.key, deliver(
            self._file, self.key, spectrum, self._subject, self._settings, stamp(self._whole, options)
        )

    def _subsets(self) -> Sequence[Tensor]:
        """Return the places of each subset's examples; none for the usual sample."""
        options = self._options
        if options.subsets == 1:
            return ()
        labels = self._subject.dataset.splits[options.splits[0]].labels
        return disjoint_subsets(labels, options.subsets, subset_size(options.subset), options.seed)

    def _objectives(self, subsets: Sequence[Tensor]) -> Iterator[tuple[str, Objective]]:
        """Yield a name for people and the loss on each subset, or on the usual sample."""
        split, mode = self._options.splits[0], statistics_mode(self._options)
        if not subsets:
            yield self.key, self._whole
        for number, places in enumerate(subsets, start=1):
            label = f"{self.key}, subset {number} of {len(subsets)}"
            yield label, self._subject.objective(splits=[split], batchnorm=mode, indices={split: places})

    def _pairs(self, label: str, objective: Objective) -> SpectrumResult:
        """Return the eigenvalues; their vectors are written where they are asked for."""
        options = self._options
        say_time(label, objective, options.operator, options.max_products, at_most=True)
        with console.progress(f"{label}: products", None) as advance:

            def on_product(count: int, relative: Tensor) -> None:
                open_pairs = options.top + options.bottom - int((relative <= 1).sum())
                advance(1, f"{open_pairs} eigenvalues still to converge")

            asked: dict[str, Any] = {
                "top": options.top,
                "bottom": options.bottom,
                "operator": options.operator,
                "tolerance": options.tolerance,
                "max_products": options.max_products,
                "seed": options.seed,
                "on_product": on_product,
            }
            if self._keep is None:
                return hessian(objective, **asked)
            spectrum, vectors = eigenvectors(objective, **asked)
        return self._with_vectors(self._keep, spectrum, vectors)

    def _with_vectors(self, keep: Keep, spectrum: SpectrumResult, vectors: Sequence[Weights]) -> SpectrumResult:
        """Write the vectors as directions, and return the spectrum with the name of their file."""
        names = pair_names(spectrum)
        tensors = {
            f"{name}/{parameter}": part
            for name, vector in zip(names, vectors, strict=True)
            for parameter, part in vector.items()
        }
        keep.write(tensors, what="unit eigenvectors, <name>/<parameter>")
        along = ",".join(f"{keep.path}:{name}" for name in names[:2])
        console.say(f"{self.key}: wrote the eigenvectors {', '.join(names)}; landscape surface ... --along {along}")
        return with_attributes(spectrum, vectors=_beside(keep.path, self._file.path))

    def _with_trace(
        self, label: str, objective: Objective, spectrum: SpectrumResult, asked: dict[str, Any], *, seed: int
    ) -> SpectrumResult:
        """Return the spectrum with trace, Frobenius norm and, of the GGN, the effective rank in its attributes.

        Each subset has a seed of its own, so that the spread over them holds the probes' errors, too.
        """
        options = self._options
        products = min(options.trace_products, objective.size)
        say_time(f"{label}, trace", objective, options.operator, products)
        with console.progress(f"{label}: trace, products", products) as advance:
            found = trace(
                objective,
                operator=options.operator,
                method=options.trace_method,
                products=options.trace_products,
                seed=seed,
                on_product=lambda: advance(1),
            )
        more = {**found.attributes(), "trace_asked": asked}
        if options.operator == "ggn" and options.top > 0:
            more["effective_rank"] = found.trace / float(spectrum.eigenvalues[0])
        return with_attributes(spectrum, **more)


def _beside(path: Path, results: Path) -> str:
    """Return a file's name as seen from the folder of the results."""
    return path.relative_to(results.parent).as_posix()
