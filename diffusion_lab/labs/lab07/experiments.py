"""What lab 07 does with trained models."""


def copy_weights(trained, model):
    """Gives `model` the weights of another one of the same architecture, its averaged ones and its normaliser."""
    for network in (model.network, model.ema_network):
        network.set_weights(trained.ema_network.get_weights())
    model.normalizer.set_weights(trained.normalizer.get_weights())
    model.normalizer.finalize_state()
