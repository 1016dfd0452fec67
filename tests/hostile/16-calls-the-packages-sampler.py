# answer: reverse_diffusion
def reverse_diffusion(self, initial_noise, diffusion_steps):
    def denoise(noisy_images, noise_rates, signal_rates):
        return self.denoise(noisy_images, noise_rates, signal_rates, training=False)

    return ddim(denoise, self.diffusion_schedule, initial_noise, diffusion_steps)
