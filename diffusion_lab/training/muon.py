"""Muon for convolutions: every update of a kernel has the same size in all its directions."""

import keras
from keras import ops

FEWEST_CHANNELS = 16  # a layer with fewer on either side works on pixels or on colours


class ConvolutionalMuon(keras.optimizers.Muon):
    """Muon (Jordan et al. 2024) for the convolution kernels of a U-Net, AdamW for all else.

    A gradient is mostly large in a few directions, so most of what a kernel could learn from it is
    lost in the noise. Muon replaces the momentum, written as a matrix with the singular value
    decomposition U S Vᵀ, by U Vᵀ. Keras's own Muon does this for dense layers only. A kernel
    (H, W, C, O) counts as a matrix (H * W * C, O). The update is scaled as that of AdamW is (Liu
    et al. 2025, section 2.2), so both take the same learning rate and weight decay.

    The first and the last layer stay with AdamW, because they have fewer than `FEWEST_CHANNELS`
    channels on one side; so do biases, normalisations and dense layers.
    """

    def __init__(self, learning_rate=2e-3, weight_decay=1e-4, **options):
        options = {"adam_weight_decay": weight_decay, **options}
        super().__init__(learning_rate, weight_decay=weight_decay, **options)

    def _should_use_adamw(self, variable):
        return len(variable.shape) != 4 or min(variable.shape[-2:]) < FEWEST_CHANNELS

    def zeropower_via_newtonschulz5(self, x, steps):
        """Returns approximately U Vᵀ for the matrix U S Vᵀ of `x`, in its shape (H, W, C, O).

        Each step of the Newton–Schulz iteration multiplies the matrix X by a polynomial in Xᵀ X.
        Polynomials in the same matrix commute, so all steps together are one small matrix (O, O),
        and the large X takes part in only two products.
        """
        matrix = ops.reshape(x, (-1, x.shape[-1]))
        matrix = matrix / (ops.norm(matrix) + 1e-7)
        square = ops.matmul(ops.transpose(matrix), matrix)
        identity = product = ops.eye(square.shape[0], dtype=square.dtype)
        for _ in range(steps):
            polynomial = self.muon_a * identity + ops.matmul(
                self.muon_b * identity + self.muon_c * square, square
            )
            product = ops.matmul(product, polynomial)
            square = ops.matmul(ops.matmul(polynomial, square), polynomial)
        return ops.reshape(ops.matmul(matrix, product), x.shape)

    def lr_adjust(self, x):
        """Scales an update (H, W, C, O) so that its elements have a root mean square of 0.2."""
        height, width, channels, outputs = x.shape
        return x * (self.rms_rate * max(height * width * channels, outputs) ** 0.5)
