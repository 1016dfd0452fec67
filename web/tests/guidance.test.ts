/** Classifier-free guidance against a closed form. tests/test_site.py compares it with Python's. */

import assert from "node:assert/strict";
import test from "node:test";

import { evaluationsPerStep, guided, type DenoiseLabelled } from "../src/core/guidance";
import { mixtureDenoiser } from "../src/core/mixture";
import { normal, uniform } from "../src/core/random";
import { heun } from "../src/core/samplers";
import { cosine } from "../src/core/schedules";

const [LABEL, NONE, DEVIATION] = [0, 1, 0.3];
const MEANS = [Float64Array.of(0.7, -0.2), Float64Array.of(0.1, 0.3)]; // with the label, and with none
const GUIDANCES = [-1, 0, 0.5, 1, 2, 7.5];
const noise = normal(uniform(1), 40);

let calls: { images: number; labels: number[] }[] = [];
const ideal: DenoiseLabelled = async (noisy, rates, labels) => {
  calls.push({ images: noisy.length / 2, labels });
  const part = noisy.length / labels.length;
  const parts = await Promise.all(
    labels.map((label, i) => mixtureDenoiser(MEANS[label], DEVIATION)(noisy.slice(i * part, (i + 1) * part), rates)),
  );
  const joined = (component: "noises" | "images") => Float64Array.from(parts.flatMap((each) => [...each[component]]));
  return { noises: joined("noises"), images: joined("images") };
};

/** The mean of the guided Gaussian: extrapolating two Gaussians of one variance gives a third. */
function guidedMean(guidance: number): Float64Array {
  return MEANS[NONE].map((none, axis) => none + guidance * (MEANS[LABEL][axis] - none));
}

test("guiding from one Gaussian through another denoises a third, further on the line", async () => {
  for (const guidance of GUIDANCES) {
    const expected = await mixtureDenoiser(guidedMean(guidance), DEVIATION)(noise, cosine(0.6));
    const { noises, images } = await guided(ideal, LABEL, NONE, guidance)(noise, cosine(0.6));
    for (const [ours, theirs] of [[noises, expected.noises], [images, expected.images]])
      for (let i = 0; i < noise.length; i++) assert.ok(Math.abs(ours[i] - theirs[i]) < 1e-12, `guidance ${guidance}`);
  }
});

test("guided samples end at the guided mean", async () => {
  const mean = guidedMean(3);
  const samples = await heun(guided(ideal, LABEL, NONE, 3), cosine, noise, 200);
  samples.forEach((value, i) => assert.ok(Math.abs(value - (mean[i % 2] + DEVIATION * noise[i])) < 0.05));
});

test("guidance evaluates the network twice for each image, but 0 and 1 only once", async () => {
  for (const guidance of GUIDANCES) {
    calls = [];
    await guided(ideal, LABEL, NONE, guidance)(noise, cosine(0.6));
    const labels = guidance === 0 ? [NONE] : guidance === 1 ? [LABEL] : [LABEL, NONE];
    assert.deepEqual(calls, [{ images: (evaluationsPerStep(guidance) * noise.length) / 2, labels }]);
    assert.equal(evaluationsPerStep(guidance), labels.length);
  }
});
