"""Examples for training: cached pairs, the paper's augmentations, a resumable order."""

from lipdeploy.training.data.augmentation import Augmentation
from lipdeploy.training.data.batches import BatchStream, batches, to_device
from lipdeploy.training.data.class_weights import SCHEMES, Scheme, class_weights
from lipdeploy.training.data.examples import CACHES, Cache, Examples
from lipdeploy.training.data.order import Order, batches_per_epoch

__all__ = [
    "CACHES",
    "SCHEMES",
    "Augmentation",
    "BatchStream",
    "Cache",
    "Examples",
    "Order",
    "Scheme",
    "batches",
    "batches_per_epoch",
    "class_weights",
    "to_device",
]
