# answer: diffusion_schedule
def diffusion_schedule(self, diffusion_times):
    while True:
        pass
