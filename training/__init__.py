"""Training of 1-Lipschitz segmentation networks in torch."""
