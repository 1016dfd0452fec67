# answer: denoise
%matplotlib inline
import no_such_library as nsl

assert noisy_images.shape == (batch_size, image_size, image_size, 3)
plt.imshow(images[0])


def squared(x: nsl.Tensor) -> nsl.Tensor:
    return x**2


def denoise(self, noisy_images, noise_rates, signal_rates, training):
    network = self.network if training else self.ema_network
    pred_noises = network([noisy_images, squared(noise_rates)], training=training)
    return pred_noises, (noisy_images - noise_rates * pred_noises) / signal_rates


denoise(model, images, 0.5, 0.5, True)
checks.denoise(denoise)
raise ValueError("the last of my tests")
