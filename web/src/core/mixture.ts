/** The ideal denoiser of a mixture of Gaussians in the plane: no network is needed. */

import type { Denoise } from "./samplers";

/**
 * Returns the ideal denoiser for points around `centres`.
 *
 * Each centre's own prediction is averaged with its responsibility as weight, as in
 * `mixture_denoiser` of diffusion_lab/ideal_denoisers.py.
 *
 * @param centres x and y of each centre, one after the other.
 * @param deviation the standard deviation around each centre.
 */
export function mixtureDenoiser(centres: Float64Array, deviation: number): Denoise {
  const count = centres.length / 2;
  const scores = new Float64Array(count);
  return (noisy, { noiseRate, signalRate }) => {
    const noises = new Float64Array(noisy.length);
    const images = new Float64Array(noisy.length);
    const variance = signalRate ** 2 * deviation ** 2 + noiseRate ** 2;
    const gain = (signalRate * deviation ** 2) / variance;
    for (let i = 0; i < noisy.length; i += 2) {
      let best = -Infinity;
      for (let k = 0; k < count; k++) {
        const dx = noisy[i] - signalRate * centres[2 * k];
        const dy = noisy[i + 1] - signalRate * centres[2 * k + 1];
        scores[k] = -(dx * dx + dy * dy) / (2 * variance);
        if (scores[k] > best) best = scores[k];
      }
      let [total, x, y] = [0, 0, 0];
      for (let k = 0; k < count; k++) {
        const weight = Math.exp(scores[k] - best);
        total += weight;
        x += weight * centres[2 * k];
        y += weight * centres[2 * k + 1];
      }
      for (const [axis, mean] of [x / total, y / total].entries()) {
        images[i + axis] = mean + gain * (noisy[i + axis] - signalRate * mean);
        noises[i + axis] = (noisy[i + axis] - signalRate * images[i + axis]) / noiseRate;
      }
    }
    return { noises, images };
  };
}
