"""Spectral density and layers of one checkpoint for `landscape hessian`, computed unless the file has them."""

from __future__ import annotations

from landscape.analysis.curvature.density import density
from landscape.analysis.curvature.layers import layer_parameters, layers
from landscape.cli.commands.hessian import Hessian, named
from landscape.cli.jobs.fingerprint import confirm, stamp
from landscape.cli.jobs.loaded_model import Subject
from landscape.cli.jobs.result_names import claim, deliver, settings_of
from landscape.cli.jobs.second_order import say_time, statistics_mode
from landscape.cli.terminal import console
from landscape.results import DensityResult, LayersResult
from landscape.storage.analysis_file import AnalysisFile

LAYER_TRACE = 18  # products for the trace of each layer; of smaller layers it is exact


def density_of(file: AnalysisFile, subject: Subject, options: Hessian) -> tuple[str, DensityResult]:
    """Return the name and the spectral density of one checkpoint."""
    mode = statistics_mode(options)
    settings = settings_of(
        subject,
        batchnorm=mode,
        operator=options.operator,
        vectors=options.density_vectors,
        steps=options.density_steps,
        sigma=options.sigma,
    )
    key, existing = claim(
        file, subject.label, _base("density", options), settings, named(options, "density"), DensityResult
    )
    objective = subject.objective(splits=options.splits[:1], batchnorm=mode)
    existing = confirm(file, key, existing, objective, options)
    if existing is not None:
        console.say(f"{key} is already in {file.path} with these settings")
        return key, existing
    subject.reproduce()
    products = options.density_vectors * min(options.density_steps, objective.size)
    say_time(key, objective, options.operator, products)
    with console.progress(f"{key}: products", products) as advance:
        found = density(
            objective,
            operator=options.operator,
            vectors=options.density_vectors,
            steps=options.density_steps,
            sigma=options.sigma,
            seed=options.seed,
            on_product=lambda: advance(1),
        )
    return key, deliver(file, key, found, subject, settings, stamp(objective, options))


def layers_of(file: AnalysisFile, subject: Subject, options: Hessian) -> tuple[str, LayersResult]:
    """Return the name and the layers' curvature of one checkpoint."""
    mode = statistics_mode(options)
    settings = settings_of(
        subject,
        batchnorm=mode,
        operator=options.operator,
        tolerance=options.tolerance,
        max_products=options.max_products,
        trace_products=LAYER_TRACE,
    )
    key, existing = claim(
        file, subject.label, _base("layers", options), settings, named(options, "layers"), LayersResult
    )
    objective = subject.objective(splits=options.splits[:1], batchnorm=mode)
    existing = confirm(file, key, existing, objective, options)
    if existing is not None:
        console.say(f"{key} is already in {file.path} with these settings")
        return key, existing
    subject.reproduce()
    count = len(layer_parameters(objective.origin))
    products = count * (options.max_products + LAYER_TRACE)
    say_time(f"{key}, {count} layers", objective, options.operator, products, at_most=True)
    with console.progress(f"{key}: products", None) as advance:
        found = layers(
            objective,
            operator=options.operator,
            tolerance=options.tolerance,
            max_products=options.max_products,
            trace_products=LAYER_TRACE,
            seed=options.seed,
            on_product=lambda name, done: advance(1, f"{name}, {done} of {count} layers done"),
        )
    return key, deliver(file, key, found, subject, settings, stamp(objective, options))


def _base(kind: str, options: Hessian) -> str:
    """Return the name of a result: of the Hessian just the kind."""
    return kind if options.operator == "hessian" else f"{kind}-{options.operator}"
