# answer: diffusion_schedule
def diffusion_schedule(self, diffusion_times):
    raise ValueError(
        "<script>alert('feedback')</script><img src=x onerror=alert(1)> =cmd|' /C calc'!A0"
        " [link](javascript:1) {{ 7 * 7 }}"
    )
