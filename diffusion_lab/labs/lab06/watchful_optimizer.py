"""What the check of lab 06's training step gives as the optimizer."""

import keras

from diffusion_lab.labs.failures import CheckFailed

NO_LIST = (
    "The tape returned None in place of a list of gradients. Its `gradient` takes the loss first,"
    " and then the weights: tape.gradient(loss, network.trainable_variables)."
)


class WatchfulSGD(keras.optimizers.SGD):
    """Plain gradient descent that says what is wrong with its gradients."""

    def build(self, variables):
        super().build(variables)
        self.known = {id(variable) for variable in variables}

    def apply(self, gradients, variables=None):
        if gradients is None:
            raise CheckFailed(NO_LIST)
        gradients = list(gradients)
        if any(isinstance(gradient, tuple) for gradient in gradients):
            raise CheckFailed(
                "`optimizer.apply` takes the gradients and the variables, not pairs. Write"
                " optimizer.apply(gradients, variables), or pass the pairs to apply_gradients."
            )
        if any(isinstance(gradient, keras.Variable) for gradient in gradients):
            raise CheckFailed(
                "You passed the variables first. Pass pairs of a gradient and its variable:"
                " zip(gradients, variables)."
            )
        if all(gradient is None for gradient in gradients):
            raise CheckFailed(
                "No gradient reaches the weights of `network`. Inside the tape's `with`, call"
                " network([noisy_images, t], training=True) and compute the loss, without NumPy and"
                " `stop_gradient`. Then write tape.gradient(loss, network.trainable_variables)."
            )
        if any(id(variable) not in self.known for variable in variables or ()):
            raise CheckFailed(
                "The optimizer received weights of another network. Pass those of `network`:"
                " zip(gradients, network.trainable_variables)."
            )
        return super().apply(gradients, variables)
