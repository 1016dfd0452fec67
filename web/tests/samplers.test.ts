/** Samplers against exact solutions. tests/test_site.py compares them with Python's. */

import assert from "node:assert/strict";
import test from "node:test";

import { DRAWINGS } from "../src/core/drawings";
import { mixtureDenoiser } from "../src/core/mixture";
import { normal, normals, uniform } from "../src/core/random";
import { addsNoise, adamsBashforth, ddim, ddpm, dpmpp2m, evaluations, heun, SAMPLERS, type Sampler } from "../src/core/samplers";
import { cosine, logSnr, SCHEDULES } from "../src/core/schedules";

const [MEAN, DEVIATION] = [0.6, 0.3];
const denoise = mixtureDenoiser(Float64Array.of(MEAN, MEAN), DEVIATION);
const noise = normal(uniform(1), 2000);

/** Returns the root mean square error. A Gaussian's exact path keeps the distance to the mean in deviations. */
async function error(sampler: Sampler, steps: number): Promise<number> {
  const samples = await sampler(denoise, cosine, noise, steps);
  const squares = samples.map((value, i) => (value - (MEAN + DEVIATION * noise[i])) ** 2);
  return Math.sqrt(squares.reduce((total, value) => total + value, 0) / squares.length);
}

test("samplers converge to the exact path, with their order", async () => {
  for (const [sampler, order] of [[ddim, 1], [heun, 2]] as const) {
    const [coarse, fine] = [await error(sampler, 32), await error(sampler, 128)];
    assert.ok(fine < 0.03, `${fine}`);
    assert.ok(coarse / fine > 0.85 * 4 ** order, `${coarse} and ${fine}`);
  }
});

test("with as many evaluations, multistep samplers are five times as accurate as DDIM", async () => {
  for (const sampler of [dpmpp2m, adamsBashforth])
    assert.ok((await error(sampler, 128)) < 0.2 * (await error(ddim, 128)));
});

test("on the drawn curves, multistep samplers have about half the error of DDIM, as the figure says", async () => {
  for (const name of ["heart", "two moons", "spiral"]) {
    const denoise = mixtureDenoiser(DRAWINGS[name](), 0.05);
    const start = noise.subarray(0, 500);
    const exact = await heun(denoise, cosine, start, 200);
    const distance = async (sampler: Sampler, steps: number) => {
      const samples = await sampler(denoise, cosine, start, steps);
      return samples.reduce((total, _, i) => total + (i % 2 ? 0 : Math.hypot(samples[i] - exact[i], samples[i + 1] - exact[i + 1])), 0);
    };
    for (const steps of [5, 9, 15, 41])
      for (const sampler of [dpmpp2m, adamsBashforth]) {
        const ratio = (await distance(sampler, steps)) / (await distance(ddim, steps));
        assert.ok(ratio > 0.3 && ratio < 0.7, `${name}, ${steps} steps: ${ratio}`);
      }
  }
});

test("random samplers reach the distribution of the data", async () => {
  for (const sampler of [ddpm, ((...[d, s, n, k, o]) => ddim(d, s, n, k, { ...o, eta: 1 })) as Sampler]) {
    const samples = await sampler(denoise, cosine, noise, 100, { fresh: normals(2) });
    const mean = samples.reduce((total, value) => total + value, 0) / samples.length;
    const variance = samples.reduce((total, value) => total + (value - mean) ** 2, 0) / samples.length;
    assert.ok(Math.abs(mean - MEAN) < 0.03 && Math.abs(Math.sqrt(variance) - DEVIATION) < 0.02);
  }
});

test("each sampler calls the network as often as it says, from time 1 on", async () => {
  for (const sampler of Object.values(SAMPLERS)) {
    const times: number[] = [];
    let calls = 0;
    const counting: typeof denoise = (noisy, rates) => (calls++, denoise(noisy, rates));
    await sampler(counting, cosine, noise, 4, { onStep: ({ time }) => void times.push(time) });
    assert.equal(calls, evaluations(sampler, 4));
    assert.deepEqual(times, [1, 0.75, 0.5, 0.25]);
  }
});

test("with a spacing of 2, early steps are shorter", async () => {
  for (const sampler of Object.values(SAMPLERS)) {
    const times: number[] = [];
    await sampler(denoise, cosine, noise, 3, { spacing: 2, onStep: ({ time }) => void times.push(time) });
    assert.deepEqual(times.map((time) => time.toFixed(6)), ["1.000000", "0.833333", "0.333333"]);
  }
});

test("samplers that add noise give other samples with other noise", async () => {
  for (const sampler of Object.values(SAMPLERS))
    for (const [steps, eta] of [[1, 0], [1, 1], [3, 0], [3, 0.5]]) {
      const sample = (seed: number) => sampler(denoise, cosine, noise, steps, { eta, fresh: normals(seed) });
      const [one, other] = [await sample(1), await sample(2)];
      assert.equal(one.some((value, i) => value !== other[i]), addsNoise(sampler, steps, eta));
    }
});

test("schedules keep the variance, and lose the signal", () => {
  for (const schedule of Object.values(SCHEDULES)) {
    const rates = [0, 0.25, 0.5, 0.75, 1].map(schedule);
    for (const { noiseRate, signalRate } of rates)
      assert.ok(Math.abs(noiseRate ** 2 + signalRate ** 2 - 1) < 1e-12);
    const ratios = rates.map(logSnr);
    assert.deepEqual(ratios, [...ratios].sort((one, other) => other - one));
  }
});

test("a seed repeats its numbers, which are standard normal", () => {
  assert.deepEqual(normal(uniform(7), 9), normal(uniform(7), 9));
  const numbers = normal(uniform(8), 100_000);
  const mean = numbers.reduce((total, value) => total + value, 0) / numbers.length;
  const variance = numbers.reduce((total, value) => total + value ** 2, 0) / numbers.length;
  assert.ok(Math.abs(mean) < 0.02 && Math.abs(variance - 1) < 0.02);
});
