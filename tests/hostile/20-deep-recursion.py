# answer: diffusion_schedule
import sys

sys.setrecursionlimit(10**9)


def diffusion_schedule(self, diffusion_times):
    return diffusion_schedule(self, diffusion_times)
