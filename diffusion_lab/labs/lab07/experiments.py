"""How lab 07 copies trained weights into a student's model."""


def copy_weights(trained, model):
    """Copies the weights, EMA weights and normaliser of `trained` to a model of the same kind."""
    for network in (model.network, model.ema_network):
        network.set_weights(trained.ema_network.get_weights())
    model.normalizer.set_weights(trained.normalizer.get_weights())
    model.normalizer.finalize_state()
