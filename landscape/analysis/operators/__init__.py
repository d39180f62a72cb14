"""Hessian, Gauss-Newton and Fisher products of an objective, and how far they can be trusted."""
