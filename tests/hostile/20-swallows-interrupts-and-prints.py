# answer: diffusion_schedule
def diffusion_schedule(self, diffusion_times):
    while True:
        try:
            while True:
                print("still here")
        except BaseException:
            pass
