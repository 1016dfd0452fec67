# answer: diffusion_schedule
raise SystemExit(0)
