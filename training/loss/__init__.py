"""Losses of training: one a file, on the pixels whose label is known."""

from lipdeploy.training.loss.cross_entropy import temperature_cross_entropy, temperature_for
from lipdeploy.training.loss.registry import LOSSES, Loss, build_loss

__all__ = ["LOSSES", "Loss", "build_loss", "temperature_cross_entropy", "temperature_for"]
