/** Samplers: from noise to images, as in diffusion_lab/samplers.py, one function per paper. */

import { normal } from "./random";
import type { Rates, Schedule } from "./schedules";

/** What a network makes of noisy images. All arrays have the length of the noisy images. */
export interface Prediction {
  noises: Float64Array;
  images: Float64Array;
}

/** Separates noisy images into noise and images. A network in the page answers later. */
export type Denoise = (noisyImages: Float64Array, rates: Rates) => Prediction | Promise<Prediction>;

/** A point of the time grid, which begins at 1, goes on to 1/steps, and ends at the clean image. */
export interface Point extends Rates {
  step: number;
  time: number;
}

export interface Options {
  /** The share of DDPM's fresh noise that `ddim` adds, from 0 to 1. */
  eta?: number;
  /** Above 1, the steps are shorter where there is more noise; with 1, they are equal. */
  spacing?: number;
  /** Returns fresh noise: as many standard normal numbers as the images have. */
  fresh?: (length: number) => Float64Array;
  /** Called at each point of the grid; a figure draws what it is given. */
  onStep?: (point: Point, noisyImages: Float64Array, prediction: Prediction) => void | Promise<void>;
}

export type Sampler = (
  denoise: Denoise,
  schedule: Schedule,
  initialNoise: Float64Array,
  steps: number,
  options?: Options,
) => Promise<Float64Array>;

const MIN_SIGNAL_RATE = 1e-3; // the smallest to divide by; a cosine schedule ends at 0

/** DDIM (Song et al. 2021, equation 12): separate, then remix at the next rates. */
export const ddim: Sampler = async (denoise, schedule, initialNoise, steps, options = {}) => {
  let noisy = initialNoise;
  for (const [now, then] of path(schedule, steps, options.spacing)) {
    const { noises, images } = await separate(denoise, noisy, now, options);
    const freshRate =
      (options.eta ?? 0) *
      (then.noiseRate / now.noiseRate) *
      Math.sqrt(1 - (now.signalRate / then.signalRate) ** 2);
    const keptRate = Math.sqrt(then.noiseRate ** 2 - freshRate ** 2);
    noisy = sum([then.signalRate, images], [keptRate, noises]);
    if (freshRate > 0) noisy = sum([1, noisy], [freshRate, fresh(noisy, options)]);
  }
  return noisy;
};

/** DDPM's ancestral sampling (Ho et al. 2020, equations 6 and 7), with the small variance. */
export const ddpm: Sampler = async (denoise, schedule, initialNoise, steps, options = {}) => {
  let noisy = initialNoise;
  for (const [now, then] of path(schedule, steps, options.spacing)) {
    const { images } = await separate(denoise, noisy, now, options);
    const forwardRate = now.signalRate / then.signalRate;
    const forwardVariance = now.noiseRate ** 2 - (forwardRate * then.noiseRate) ** 2;
    const shrinkage = (then.noiseRate / now.noiseRate) ** 2;
    const imageWeight = (then.signalRate * forwardVariance) / now.noiseRate ** 2;
    noisy = sum([imageWeight, images], [forwardRate * shrinkage, noisy]);
    if (then.noiseRate > 0)
      noisy = sum([1, noisy], [Math.sqrt(forwardVariance * shrinkage), fresh(noisy, options)]);
  }
  return noisy;
};

/** Heun's second-order method (after Karras et al. 2022): look ahead, then correct the step. */
export const heun: Sampler = async (denoise, schedule, initialNoise, steps, options = {}) => {
  let noisy = initialNoise;
  for (const [now, then] of path(schedule, steps, options.spacing)) {
    const { noises, images } = await separate(denoise, noisy, now, options);
    noisy = sum([then.signalRate, images], [then.noiseRate, noises]);
    if (then.noiseRate > 0) {
      const ahead = await denoise(noisy, then);
      const half = (angle(now) - angle(then)) / 2;
      noisy = sum(
        [1, noisy],
        [-half * then.signalRate, sum([1, ahead.noises], [-1, noises])],
        [half * then.noiseRate, sum([1, ahead.images], [-1, images])],
      );
    }
  }
  return noisy;
};

/** DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): second order in the log-SNR. */
export const dpmpp2m: Sampler = async (denoise, schedule, initialNoise, steps, options = {}) => {
  let noisy = initialNoise;
  let last: { images: Float64Array; width: number } | undefined;
  for (const [now, then] of path(schedule, steps, options.spacing)) {
    const { images } = await separate(denoise, noisy, now, options);
    if (then.noiseRate === 0) return images;
    const width = halfLogSnr(then) - halfLogSnr(now);
    const share = last ? (0.5 * width) / last.width : 0;
    const extrapolated = last ? sum([1 + share, images], [-share, last.images]) : images;
    noisy = sum(
      [then.noiseRate / now.noiseRate, noisy],
      [-then.signalRate * Math.expm1(-width), extrapolated],
    );
    last = { images, width };
  }
  return noisy;
};

/** Two-step Adams-Bashforth (after Liu et al. 2022): the noise is extrapolated half a step. */
export const adamsBashforth: Sampler = async (denoise, schedule, initialNoise, steps, options = {}) => {
  let noisy = initialNoise;
  let last: { noises: Float64Array; width: number } | undefined;
  for (const [now, then] of path(schedule, steps, options.spacing)) {
    const current = await separate(denoise, noisy, now, options);
    if (then.noiseRate === 0) return current.images;
    const width = angle(now) - angle(then);
    let { noises, images } = current;
    if (last) {
      const share = (0.5 * width) / last.width;
      noises = sum([1 + share, noises], [-share, last.noises]);
      const divisor = Math.max(now.signalRate, MIN_SIGNAL_RATE);
      images = sum([1 / divisor, noisy], [-now.noiseRate / divisor, noises]);
    }
    noisy = sum([then.signalRate, images], [then.noiseRate, noises]);
    last = { noises: current.noises, width };
  }
  return noisy;
};

export const SAMPLERS: Record<string, Sampler> = {
  DDPM: ddpm,
  DDIM: ddim,
  Heun: heun,
  "DPM-Solver++(2M)": dpmpp2m,
  "Adams–Bashforth": adamsBashforth,
};

/** Returns the number of network evaluations. */
export function evaluations(sampler: Sampler, steps: number): number {
  return sampler === heun ? 2 * steps - 1 : steps;
}

/** True if the sampler adds fresh noise; none adds any in its last step. */
export function addsNoise(sampler: Sampler, steps: number, eta: number): boolean {
  return steps > 1 && (sampler === ddpm || (sampler === ddim && eta > 0));
}

function path(schedule: Schedule, steps: number, spacing = 1): [Point, Point][] {
  const points: Point[] = Array.from({ length: steps }, (_, step) => {
    const time = 1 - (1 - 1 / steps) * (step / Math.max(steps - 1, 1)) ** spacing;
    return { step, time, ...schedule(time) };
  });
  points.push({ step: steps, time: 0, noiseRate: 0, signalRate: 1 });
  return points.slice(1).map((then, step) => [points[step], then]);
}

async function separate(denoise: Denoise, noisy: Float64Array, now: Point, options: Options) {
  const prediction = await denoise(noisy, now);
  await options.onStep?.(now, noisy, prediction);
  return prediction;
}

function fresh(like: Float64Array, options: Options): Float64Array {
  return options.fresh ? options.fresh(like.length) : normal(Math.random, like.length);
}

function angle({ noiseRate, signalRate }: Rates): number {
  return Math.atan2(noiseRate, signalRate);
}

function halfLogSnr({ noiseRate, signalRate }: Rates): number {
  return Math.log(Math.max(signalRate, MIN_SIGNAL_RATE) / noiseRate);
}

/** Returns the sum of arrays, each times its weight. */
export function sum(...terms: [number, Float64Array][]): Float64Array {
  const total = new Float64Array(terms[0][1].length);
  for (const [weight, values] of terms)
    for (let i = 0; i < total.length; i++) total[i] += weight * values[i];
  return total;
}
