# answer: diffusion_schedule
def diffusion_schedule(self, diffusion_times):
    from diffusion_lab.schedules import offset_cosine_diffusion_schedule

    return offset_cosine_diffusion_schedule(
        ops.clip(diffusion_times, 0, 1), self.min_signal_rate, self.max_signal_rate
    )
