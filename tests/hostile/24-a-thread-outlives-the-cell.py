# answer: diffusion_schedule
import threading
import time

threading.Thread(target=lambda: time.sleep(10**6)).start()


def diffusion_schedule(self, diffusion_times):
    start_angle, end_angle = math.acos(self.max_signal_rate), math.acos(self.min_signal_rate)
    angles = start_angle + ops.clip(diffusion_times, 0, 1) * (end_angle - start_angle)
    return ops.sin(angles), ops.cos(angles)
