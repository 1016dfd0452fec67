# answer: diffusion_schedule
def diffusion_schedule(self, diffusion_times):
    return ops.zeros((4000, 4000)), ops.zeros((4000, 4000))
