"""The network core: layers, losses, initializers, the network, optimizers, schedules, checks."""
