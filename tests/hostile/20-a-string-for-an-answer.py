# answer: diffusion_schedule
diffusion_schedule = "ops.sin(angles), ops.cos(angles)"
