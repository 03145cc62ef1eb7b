"""REINFORCE, the Monte Carlo policy gradient, with its baselines."""

from sb3_ext.reinforce.reinforce import REINFORCE

__all__ = ["REINFORCE"]
