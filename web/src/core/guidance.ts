/** Classifier-free guidance (Ho & Salimans 2022), as in diffusion_lab/models/conditional.py. */

import type { Denoise, Prediction } from "./samplers";
import type { Rates } from "./schedules";

/** Separates noisy images, given labels: one for each of the equal parts of the batch. */
export type DenoiseLabelled = (
  noisyImages: Float64Array,
  rates: Rates,
  labels: number[],
) => Prediction | Promise<Prediction>;

/**
 * Returns a `denoise` for images of one class: unlabelled + guidance * (labelled - unlabelled).
 *
 * This is equation 6, where guidance = 1 + w. Both predictions come from one call, with a batch
 * twice as large.
 *
 * @param guidance 0 ignores the label, 1 is the conditional model, and higher values give images
 *   that are more typical of the label, but less varied.
 */
export function guided(denoise: DenoiseLabelled, label: number, noLabel: number, guidance: number): Denoise {
  if (evaluationsPerStep(guidance) === 1)
    return (noisy, rates) => denoise(noisy, rates, [guidance === 1 ? label : noLabel]);
  const combine = (pair: Float64Array) => {
    const middle = pair.length / 2;
    return extrapolate(pair.subarray(middle), pair.subarray(0, middle), guidance);
  };
  return async (noisy, rates) => {
    const { noises, images } = await denoise(twice(noisy), rates, [label, noLabel]);
    return { noises: combine(noises), images: combine(images) };
  };
}

/** Returns how often guidance evaluates the network for a step and an image. */
export function evaluationsPerStep(guidance: number): number {
  return guidance === 0 || guidance === 1 ? 1 : 2;
}

/** Returns weaker + weight * (stronger - weaker), as in diffusion_lab/predictions.py. */
function extrapolate(weaker: Float64Array, stronger: Float64Array, weight: number): Float64Array {
  return weaker.map((value, i) => value + weight * (stronger[i] - value));
}

function twice(values: Float64Array): Float64Array {
  const both = new Float64Array(2 * values.length);
  both.set(values);
  both.set(values, values.length);
  return both;
}
