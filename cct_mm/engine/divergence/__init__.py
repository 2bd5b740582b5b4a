"""Detection of losses, gradients and weights that are not finite."""
