"""Check of the weights: are they at a minimum of the loss?"""

from __future__ import annotations

from landscape.analysis.curvature.eigenvalues import eigenpairs
from landscape.analysis.linalg.eigenpairs import EigenRequest
from landscape.analysis.operators.gradient_norm import gradient_norm
from landscape.stats import number_format
from landscape.workflow.doctor.finding import Finding
from landscape.workflow.sources.loaded_model import LoadedModel

DESCENT = 0.05  # of the loss: what one gradient step may gain at weights that count as a minimum
NEGATIVE = 0.1  # of λ_max: the size of the most negative eigenvalue there
TOLERANCE = 0.2  # of the eigenvalues: enough to tell which side of the bounds above they are on
MOST_PRODUCTS = 60


def minimum(model: LoadedModel) -> Finding:
    """Compare the gradient and the most negative eigenvalue with loss and λ_max on the first split.

    A gradient step of length 1/λ_max lowers the quadratic model of the loss by at least ‖g‖² / (2 λ_max). At a minimum
    that is a small part of the loss, and no eigenvalue is far below 0.
    """
    objective = model.objective(first_split=True)
    split = objective.splits[0]
    loss = objective.loss()
    gradient = gradient_norm(objective, objective.origin)
    bottom = min(1, objective.size - 1)
    with model.reporter.progress(f"{model.label}: λ_max and λ_min", None) as advance:
        request = EigenRequest(1, bottom, tolerance=TOLERANCE, max_products=MOST_PRODUCTS, seed=model.sample.seed)
        spectrum, _ = eigenpairs(objective, request, on_product=lambda *_: advance())
    top, lowest = float(spectrum.eigenvalues[0]), float(spectrum.eigenvalues[-1])
    values = {
        "split": split,
        "n": gradient.n,
        "loss": loss,
        "gradient_norm": gradient.value,
        "gradient_norm_stderr": gradient.stderr,
        "lambda_max": top,
        "lambda_min": lowest,
    }
    message = (
        f"on {gradient.n} {split} examples ‖g‖ = {number_format.number(gradient.value, 3)}, "
        f"λ_max ≈ {number_format.number(top, 3)}, λ_min ≈ {number_format.number(lowest, 3)}"
    )
    if top <= 0 or -lowest > NEGATIVE * top:
        remedy = "the weights are near a saddle: train on, or read sharpness together with λ_min"
        return Finding("minimum", "warning", f"{message}: strong negative curvature", remedy, values)
    descent = gradient.value**2 / (2 * top)
    values["descent"] = descent
    if descent > DESCENT * abs(loss):
        part = number_format.share(descent / abs(loss)) if loss else "all"
        remedy = (
            "train on, or measure more examples with --subset; until then sharpness is of a slope, not of a minimum"
        )
        return Finding(
            "minimum", "warning", f"{message}: one gradient step would lower the loss by {part}", remedy, values
        )
    return Finding("minimum", "ok", message, values=values)
