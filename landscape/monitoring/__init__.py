"""Monitoring of a training loop of any kind: curvature, sharpness and other quantities at every so many steps."""

from landscape.monitoring.measures.critical_step import CriticalStep
from landscape.monitoring.measures.gradient_norm import GradientNorm
from landscape.monitoring.measures.lambda_max import LambdaMax
from landscape.monitoring.measures.preconditioned import PreconditionedLambdaMax
from landscape.monitoring.measures.protocol import MonitorMeasure, Probe, Reading
from landscape.monitoring.measures.sam_doctor import SamDoctor
from landscape.monitoring.measures.sam_rise import SamRise
from landscape.monitoring.monitor import Monitor, MonitorWarning

__all__ = [
    "CriticalStep",
    "GradientNorm",
    "LambdaMax",
    "Monitor",
    "MonitorMeasure",
    "MonitorWarning",
    "PreconditionedLambdaMax",
    "Probe",
    "Reading",
    "SamDoctor",
    "SamRise",
]
