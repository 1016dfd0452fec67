/** Samplers side by side, on points whose perfect network is a formula. */

import { mixtureDenoiser } from "../core/mixture";
import { normal, normals, uniform } from "../core/random";
import { addsNoise, evaluations, heun, SAMPLERS, type Sampler } from "../core/samplers";
import { cosine } from "../core/schedules";
import { element, row, slider, soon } from "../page/controls";
import { Drawing } from "../page/drawing";
import { Plane } from "../page/plane";

const COUNT = 250; // samples
const PATHS = 12; // of them with their whole path
const EXACT_STEPS = 200;
const WIDE: [number, number, number, number] = [-3.2, 3.2, -3.2, 3.2]; // fresh noise leads paths far out
const DEVIATION = 0.05; // around each point
const COLOURS: Record<string, string> = { // as in the plots of the labs: SAMPLERS of diffusion_lab/plots.py
  DDIM: "#0072b2",
  "DPM-Solver++(2M)": "#d55e00",
  "Adams–Bashforth": "#009e73",
  Heun: "#cc79a7",
  DDPM: "#996b00",
};
const LEGEND =
  `All samplers start from the same ${COUNT} points of noise. Thin lines are the paths of ${PATHS} of them, and the ` +
  "error is the mean distance of the samples from the ends of the exact paths. On the heart, the moons and the spiral, " +
  "from 5 evaluations on, DPM-Solver++(2M) and Adams–Bashforth have about half the error of DDIM at the same cost, " +
  "because they also use the prediction of the step before. Heun takes two evaluations in each step but only one in " +
  "the last, so its number is always odd: where 2 are allowed, it takes a single step with 1. Thin curves need smaller " +
  "steps than the wide blobs in the plot above, so the orders show less clearly here.";

export function samplers(root: HTMLElement): void {
  const noise = normal(uniform(3), 2 * COUNT);
  const plots = Object.keys(SAMPLERS).map((name) => ({
    name,
    plane: new Plane(`samples of ${name}`, 190, 190, WIDE),
    caption: element("figcaption", { role: "status" }),
  }));

  let exact: Promise<Float64Array> | undefined; // the ends of the exact paths
  const draw = soon(async () => {
    const denoise = mixtureDenoiser(drawing.points, DEVIATION);
    const { points } = drawing;
    if (points.length === 0) {
      for (const { plane, caption } of plots) {
        plane.clear();
        caption.textContent = "";
      }
      return;
    }
    exact ??= heun(denoise, cosine, noise, EXACT_STEPS);
    const ends = await exact;
    for (const { name, plane, caption } of plots) {
      const sampler = SAMPLERS[name];
      const steps = sampler === heun ? Math.ceil(budget.value / 2) : budget.value;
      const { samples, paths } = await run(sampler, denoise, noise, steps, eta.value);
      plane.clear();
      plane.dots(points, "#8886", 1);
      for (const path of paths) plane.line(path, `${COLOURS[name]}b3`, 1);
      plane.dots(samples, COLOURS[name]);
      const error = addsNoise(sampler, steps, eta.value) ? "random: no exact path" : `error ${distance(samples, ends).toFixed(3)}`;
      caption.textContent = `${name}: ${evaluations(sampler, steps)} NFE, ${error}`;
    }
  });
  const drawing = new Drawing(() => {
    exact = undefined;
    draw();
  });
  const budget = slider("Network evaluations (NFE)", [1, 41, 1], 9, (value) => `${value}`, draw);
  const eta = slider("Fresh noise in DDIM (η)", [0, 1, 0.05], 0, (value) => value.toFixed(2), draw);
  root.replaceChildren(
    drawing.node,
    row(budget.node, eta.node),
    element(
      "div",
      { className: "grid" },
      ...plots.map(({ plane, caption }) => element("figure", {}, plane.canvas, caption)),
    ),
    element("p", { className: "numbers" }, LEGEND),
  );
  draw();
}

/** Returns the samples, and the paths of some of them. */
async function run(
  sampler: Sampler,
  denoise: Parameters<Sampler>[0],
  noise: Float64Array,
  steps: number,
  eta: number,
): Promise<{ samples: Float64Array; paths: number[][] }> {
  const paths: number[][] = Array.from({ length: PATHS }, () => []);
  const record = (noisy: Float64Array) => {
    for (const [i, path] of paths.entries()) path.push(noisy[2 * i], noisy[2 * i + 1]);
  };
  const samples = await sampler(denoise, cosine, noise, steps, {
    eta,
    fresh: normals(4),
    onStep: (_, noisy) => record(noisy),
  });
  record(samples);
  return { samples, paths };
}

/** Returns the mean distance between two sets of points. */
function distance(points: Float64Array, others: Float64Array): number {
  let total = 0;
  for (let i = 0; i < points.length; i += 2)
    total += Math.hypot(points[i] - others[i], points[i + 1] - others[i + 1]);
  return (2 * total) / points.length;
}
