"""1-Lipschitz layers: stateless kernels of norm 1, sorting activations, centering."""

from lipdeploy.training.layers.adjoint import Adjoint2d
from lipdeploy.training.layers.aol_conv import AolConv2d
from lipdeploy.training.layers.batch_centering import BatchCentering2d, ChannelBias
from lipdeploy.training.layers.kernel import kernel_of
from lipdeploy.training.layers.max_min import max_min
from lipdeploy.training.layers.orthogonal_conv import OrthogonalConv2d
from lipdeploy.training.layers.parametrised import ParametrisedConv, kernels_held, parametrised
from lipdeploy.training.layers.polar import polar_factor
from lipdeploy.training.layers.unit import Constraint, Unit

__all__ = [
    "Adjoint2d",
    "AolConv2d",
    "BatchCentering2d",
    "ChannelBias",
    "Constraint",
    "OrthogonalConv2d",
    "ParametrisedConv",
    "Unit",
    "kernel_of",
    "kernels_held",
    "max_min",
    "parametrised",
    "polar_factor",
]
