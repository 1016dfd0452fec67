# answer: diffusion_schedule
def diffusion_schedule(self, diffusion_times):
    from diffusion_lab.checks.ddim import DiffusionSchedule

    return DiffusionSchedule().judge({"times": diffusion_times}, {})
