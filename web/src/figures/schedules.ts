/** Schedules: their curves, and the same picture under each of them. */

import { normal, uniform } from "../core/random";
import { sum } from "../core/samplers";
import { cosineBetween, linearUpTo, logSnr, SCHEDULES, type Rates, type Schedule } from "../core/schedules";
import { checkbox, element, row, slider, soon } from "../page/controls";
import { flower, Frame, LENGTH } from "../page/picture";
import { COLOURS, INK, Plane } from "../page/plane";

/** The mistake of many books: the variances, without the square root. */
function withoutRoot(schedule: Schedule): Schedule {
  return (time) => {
    const { noiseRate, signalRate } = schedule(time);
    return { noiseRate: noiseRate ** 2, signalRate: signalRate ** 2 };
  };
}

const DASHES = [[], [7, 3], [2, 2]]; // solid, dashed, dotted

export function schedules(root: HTMLElement): void {
  const rates = new Plane("signal rates of the schedules over time", 315, 220, [-0.04, 1.04, -0.14, 1.14]);
  const ratios = new Plane("log-SNR of the schedules over time", 315, 220, [-0.04, 1.04, -12.8, 12.8]);
  const noise = normal(uniform(1), LENGTH);
  const original = flower();
  const frames = Object.fromEntries(
    [...Object.keys(SCHEDULES), "linear, no square root"].map((name) => [
      name,
      new Frame(name, `the picture under the schedule ${name}`),
    ]),
  );
  const legend = element("p", { className: "legend" });
  const numbers = element("p", { className: "numbers", role: "status" });

  const draw = soon(() => {
    const linear = linearUpTo(betaEnd.value);
    const shown: [string, Schedule][] = [
      ["linear", linear],
      ["cosine", SCHEDULES.cosine],
      ["offset cosine", cosineBetween(lowest.value, highest.value)],
    ];
    if (mistake.checked) shown.push(["linear, no square root", withoutRoot(linear)]);
    legend.replaceChildren(...shown.map(([name], i) => element("span", {}, swatch(i), ` ${name}`)));
    drawCurves(rates, "signal rate", shown, time.value, ({ signalRate }) => signalRate, [0, 1]);
    drawCurves(ratios, "log-SNR", shown, time.value, logSnr, [-10, 0, 10]);
    frames["linear, no square root"].node.hidden = !mistake.checked;
    for (const [name, schedule] of shown) {
      const { noiseRate, signalRate } = schedule(time.value);
      frames[name].show(sum([signalRate, original], [noiseRate, noise]));
    }
    const list = (number: (rates: Rates) => string) =>
      shown.map(([name, schedule]) => `${name} ${number(schedule(time.value))}`).join("; ");
    numbers.replaceChildren(
      `Signal rate at time ${time.value.toFixed(2)}: ${list(({ signalRate }) => signalRate.toFixed(2))}.`,
      element("br"),
      `log-SNR: ${list((rates) => decimal(logSnr(rates)))}.`,
      element("br"),
      "Variance of a noisy pixel, which must be 1: ",
      `${list(({ noiseRate, signalRate }) => (noiseRate ** 2 + signalRate ** 2).toFixed(2))}.`,
    );
  });
  const time = slider("Time", [0, 1, 0.01], 0.5, (value) => value.toFixed(2), draw);
  const betaEnd = slider("beta_end", [0.002, 0.04, 0.001], 0.02, (value) => value.toFixed(3), draw);
  const lowest = slider("min_signal_rate", [0, 0.4, 0.01], 0.02, (value) => value.toFixed(2), draw);
  const highest = slider("max_signal_rate", [0.6, 1, 0.01], 0.95, (value) => value.toFixed(2), draw);
  const mistake = checkbox("forget the square root", draw);
  root.replaceChildren(
    row(time.node, mistake.node),
    row(betaEnd.node, lowest.node, highest.node),
    element("div", { className: "frames in-a-row" }, ...Object.values(frames).map((frame) => frame.node)),
    legend,
    element("div", { className: "frames" }, rates.canvas, ratios.canvas),
    numbers,
  );
  draw();
}

function drawCurves(
  plane: Plane,
  title: string,
  shown: [string, Schedule][],
  now: number,
  height: (rates: Rates) => number,
  ticks: number[],
): void {
  plane.clear();
  const [low, high] = [ticks[0], ticks[ticks.length - 1]];
  for (const tick of ticks) {
    plane.line([0, tick, 1, tick], "#8884", 1);
    plane.text(`${tick}`, 0.01, tick + 0.02 * (high - low));
  }
  for (const [tick, align] of [[0, "left"], [0.5, "center"], [1, "right"]] as const)
    plane.text(`${tick}`, tick, low - 0.09 * (high - low), INK, align);
  plane.text("time", 0.75, low - 0.09 * (high - low), INK, "center");
  plane.text(title, 0.5, high + 0.03 * (high - low), INK, "center");
  plane.line([now, low, now, high], INK, 1, [4, 4]);
  const curves = [...shown.entries()].sort(([one], [other]) => (one % 3) - (other % 3)); // solid ones below
  for (const [i, [, schedule]] of curves) {
    const points = [];
    for (let time = 0.002; time <= 1; time += 0.01) points.push(time, Math.max(low, Math.min(high, height(schedule(time)))));
    plane.line(points, COLOURS[i], 2, DASHES[i % 3]);
  }
}

/** Returns a piece of a curve for the legend. */
function swatch(curve: number): HTMLElement {
  const line = element("i", { className: ["solid", "dashed", "dotted"][curve % 3] });
  line.style.color = COLOURS[curve];
  return line;
}

/** Returns a number with one decimal. A rate of 0 is computed as 1e-17 or so, and its logarithm shown as infinite. */
function decimal(value: number): string {
  const sign = value < 0 ? "−" : "";
  return Math.abs(value) > 50 ? `${sign}∞` : `${sign}${Math.abs(value).toFixed(1)}`;
}
