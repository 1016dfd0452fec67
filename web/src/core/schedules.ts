/** Diffusion schedules, as in diffusion_lab/schedules.py. */

/** The standard deviations of noise and image in a noisy image. Their squares sum to 1. */
export interface Rates {
  noiseRate: number;
  signalRate: number;
}

/** Returns the rates at a time in [0, 1]. */
export type Schedule = (time: number) => Rates;

/** DDPM's schedule (Ho et al. 2020) in the limit of many small steps: beta grows linearly. */
export function linearUpTo(betaEnd: number): Schedule {
  return (time) => {
    const integral = 1000 * (1e-4 * time + 0.5 * (betaEnd - 1e-4) * time ** 2);
    return { noiseRate: Math.sqrt(-Math.expm1(-integral)), signalRate: Math.exp(-integral / 2) };
  };
}

/** Sine and cosine of a quarter turn (after Nichol and Dhariwal 2021). */
export const cosine: Schedule = (time) => {
  const angle = (time * Math.PI) / 2;
  return { noiseRate: Math.sin(angle), signalRate: Math.cos(angle) };
};

/** The cosine schedule without its two ends, where there is little to learn. */
export function cosineBetween(minSignalRate: number, maxSignalRate: number): Schedule {
  const [start, end] = [Math.acos(maxSignalRate), Math.acos(minSignalRate)];
  return (time) => {
    const angle = start + time * (end - start);
    return { noiseRate: Math.sin(angle), signalRate: Math.cos(angle) };
  };
}

export const SCHEDULES: Record<string, Schedule> = {
  linear: linearUpTo(0.02),
  cosine,
  "offset cosine": cosineBetween(0.02, 0.95),
};

/** Returns the logarithm of the signal-to-noise ratio. */
export function logSnr({ noiseRate, signalRate }: Rates): number {
  return 2 * Math.log(signalRate / noiseRate);
}
