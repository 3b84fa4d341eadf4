"""1-Lipschitz layers: stateless orthogonal kernels, sorting activations, centering."""

from lipdeploy.training.layers.batch_centering import BatchCentering2d
from lipdeploy.training.layers.max_min import max_min
from lipdeploy.training.layers.orthogonal_conv import OrthogonalConv2d
from lipdeploy.training.layers.parametrised import ParametrisedConv, kernels_held, parametrised
from lipdeploy.training.layers.polar import polar_factor
from lipdeploy.training.layers.unit import Unit

__all__ = [
    "BatchCentering2d",
    "OrthogonalConv2d",
    "ParametrisedConv",
    "Unit",
    "kernels_held",
    "max_min",
    "parametrised",
    "polar_factor",
]
