"""Cameras of this machine: what Linux knows of them, and why one cannot be used."""

from lipdeploy.runtime.devices.camera import Camera, Mode
from lipdeploy.runtime.devices.inventory import cameras_here, stable_names

__all__ = ["Camera", "Mode", "cameras_here", "stable_names"]
