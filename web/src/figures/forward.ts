/** The forward process: a picture drowns in noise, step by step and in one jump. */

import { normal, uniform } from "../core/random";
import { sum } from "../core/samplers";
import { SCHEDULES } from "../core/schedules";
import { element, menu, row, slider, soon } from "../page/controls";
import { Painting } from "../page/painting";
import { Frame, LENGTH } from "../page/picture";

const STEPS = 50;

export function forward(root: HTMLElement): void {
  const [chain, jump] = [
    new Frame("the chain: many small steps", "the picture after many small steps of noise"),
    new Frame("the closed form: one jump", "the picture after one jump to the same time"),
  ];
  const numbers = element("p", { className: "numbers", role: "status" });
  const noise = normal(uniform(1), LENGTH);
  let states: Float64Array[] | undefined; // of the chain

  const draw = soon(() => {
    states ??= walk(painting.picture, schedule.value);
    const step = time.value;
    const { noiseRate, signalRate } = SCHEDULES[schedule.value](step / STEPS);
    chain.show(states[step]);
    jump.show(sum([signalRate, painting.picture], [noiseRate, noise]));
    numbers.textContent =
      `Signal rate ${signalRate.toFixed(2)}, noise rate ${noiseRate.toFixed(2)}. ` +
      `Squared, they sum to ${(signalRate ** 2 + noiseRate ** 2).toFixed(2)}.`;
  });
  const start = () => {
    states = undefined;
    draw();
  };
  const schedule = menu("Schedule", Object.keys(SCHEDULES), start);
  const time = slider("Time", [0, STEPS, 1], 20, (step) => (step / STEPS).toFixed(2), draw);
  const painting = new Painting(start);
  root.replaceChildren(
    row(time.node, schedule.node),
    element("div", { className: "frames" }, painting.node, chain.node, jump.node),
    numbers,
    element("p", {}, "The two noisy pictures have different noise: compare how much, not where."),
  );
  start();
}

/** Returns the noisy pictures of a chain that adds a little fresh noise in each step. */
function walk(picture: Float64Array, name: string): Float64Array[] {
  const random = uniform(2);
  const rates = Array.from({ length: STEPS + 1 }, (_, step) => SCHEDULES[name](step / STEPS));
  const { noiseRate, signalRate } = rates[0];
  const states = [sum([signalRate, picture], [noiseRate, normal(random, LENGTH)])];
  for (let step = 1; step <= STEPS; step++) {
    const kept = rates[step].signalRate / rates[step - 1].signalRate;
    const added = Math.sqrt(1 - kept ** 2);
    states.push(sum([kept, states[step - 1]], [added, normal(random, LENGTH)]));
  }
  return states;
}
