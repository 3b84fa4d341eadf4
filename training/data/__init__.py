"""Examples for training: cached pairs, the paper's augmentations, a resumable order."""

from lipdeploy.training.data.augmentation import Augmentation
from lipdeploy.training.data.examples import Examples, batches, batches_per_epoch

__all__ = ["Augmentation", "Examples", "batches", "batches_per_epoch"]
