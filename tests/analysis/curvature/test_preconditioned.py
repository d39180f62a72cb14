"""Adam's preconditioned Hessian against a dense one, and its eigenvalue at the edge of stability."""

import pytest
import torch
from cases import curvature_problem as problem

from landscape.analysis.curvature.preconditioned import adam_state, preconditioned_eigenpair
from landscape.analysis.objective.at_weights import at_weights


def test_the_largest_eigenvalue_is_that_of_the_dense_preconditioned_hessian() -> None:
    model, objective = problem.network(), problem.classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.8, 0.95), eps=1e-6)
    for _ in range(7):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(problem.INPUTS), problem.LABELS).backward()
        optimizer.step()
    state = adam_state(optimizer, dict(model.named_parameters()))
    assert state is not None
    assert (state.step, state.betas, state.eps) == (7, (0.8, 0.95), 1e-6)
    model.load_state_dict(problem.network().state_dict())  # where the dense matrices are
    H = problem.dense()["hessian"]
    v = torch.cat([optimizer.state[p]["exp_avg_sq"].flatten() for p in model.parameters()])
    P = (1 - 0.8**7) * ((v / (1 - 0.95**7)).sqrt() + 1e-6)
    exact = torch.linalg.eigvals(H / P[:, None]).real.max()
    pairs = preconditioned_eigenpair(at_weights(objective, model.state_dict()), state, tolerance=1e-6)
    assert float(pairs.values[0]) == pytest.approx(float(exact), rel=1e-5)
    assert bool(pairs.converged[0])
    again = preconditioned_eigenpair(objective, state, tolerance=1e-6, start=pairs.vectors)
    assert float(again.values[0]) == pytest.approx(float(exact), rel=1e-5)


def test_an_optimizer_without_second_moments_has_no_state() -> None:
    w = torch.nn.Parameter(torch.ones(2))
    assert adam_state(torch.optim.SGD([w], lr=0.1), {"w": w}) is None
    assert adam_state(torch.optim.Adam([w]), {"w": w}) is None  # before its first step
