# answer: diffusion_schedule
# NBVAL_SKIP
def diffusion_schedule(self, diffusion_times):
    return diffusion_times, 1 - diffusion_times
