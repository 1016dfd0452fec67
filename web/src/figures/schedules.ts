/** Schedules: their curves, and the same picture under each of them. */

import { normal, uniform } from "../core/random";
import { sum } from "../core/samplers";
import { cosineBetween, linearUpTo, logSnr, SCHEDULES, type Schedule } from "../core/schedules";
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

export function schedules(root: HTMLElement): void {
  const rates = new Plane("signal rates of the schedules over time", 315, 210, [-0.04, 1.04, -0.12, 1.12]);
  const ratios = new Plane("log-SNR of the schedules over time", 315, 210, [-0.04, 1.04, -13, 13]);
  const noise = normal(uniform(1), LENGTH);
  const original = flower();
  const frames = Object.fromEntries(
    [...Object.keys(SCHEDULES), "linear, no square root"].map((name) => [
      name,
      new Frame(name, `the picture under the schedule ${name}`),
    ]),
  );
  const table = element("p", { className: "numbers", role: "status" });

  const draw = soon(() => {
    const linear = linearUpTo(betaEnd.value);
    const shown: [string, Schedule][] = [
      ["linear", linear],
      ["cosine", SCHEDULES.cosine],
      ["offset cosine", cosineBetween(lowest.value, highest.value)],
    ];
    if (mistake.checked) shown.push(["linear, no square root", withoutRoot(linear)]);
    drawCurves(rates, "signal rate", shown, time.value, ({ signalRate }) => signalRate, [0, 1]);
    drawCurves(ratios, "log-SNR", shown, time.value, logSnr, [-10, 0, 10]);
    frames["linear, no square root"].node.hidden = !mistake.checked;
    for (const [name, schedule] of shown) {
      const { noiseRate, signalRate } = schedule(time.value);
      frames[name].show(sum([signalRate, original], [noiseRate, noise]));
    }
    const totals = shown.map(([name, schedule]) => {
      const { noiseRate, signalRate } = schedule(time.value);
      return `${name} ${(signalRate ** 2 + noiseRate ** 2).toFixed(2)}`;
    });
    table.textContent = `Variance of a noisy pixel, which must be 1: ${totals.join(", ")}.`;
  });
  const time = slider("Time", [0, 1, 0.01], 0.5, (value) => value.toFixed(2), draw);
  const betaEnd = slider("beta_end", [0.002, 0.04, 0.001], 0.02, (value) => value.toFixed(3), draw);
  const lowest = slider("min_signal_rate", [0, 0.4, 0.01], 0.02, (value) => value.toFixed(2), draw);
  const highest = slider("max_signal_rate", [0.6, 1, 0.01], 0.95, (value) => value.toFixed(2), draw);
  const mistake = checkbox("forget the square root", draw);
  root.replaceChildren(
    row(time.node, mistake.node),
    row(betaEnd.node, lowest.node, highest.node),
    element("div", { className: "frames" }, rates.canvas, ratios.canvas),
    element("div", { className: "frames" }, ...Object.values(frames).map((frame) => frame.node)),
    table,
  );
  draw();
}

function drawCurves(
  plane: Plane,
  title: string,
  shown: [string, Schedule][],
  now: number,
  height: (rates: ReturnType<Schedule>) => number,
  ticks: number[],
): void {
  plane.clear();
  const [low, high] = [ticks[0], ticks[ticks.length - 1]];
  for (const tick of ticks) {
    plane.line([0, tick, 1, tick], "#8884", 1);
    plane.text(`${tick}`, 0.01, tick + 0.02 * (high - low));
  }
  plane.line([now, low, now, high], INK, 1, [4, 4]);
  for (const [i, [, schedule]] of shown.entries()) {
    const points = [];
    for (let time = 0.002; time <= 1; time += 0.01) points.push(time, Math.max(low, Math.min(high, height(schedule(time)))));
    plane.line(points, COLOURS[i], 2, i % 2 ? [7, 3] : []);
  }
  for (const [i, [name]] of shown.entries())
    plane.text(name, 0.98, high - (0.02 + 0.075 * i) * (high - low), COLOURS[i], "right");
  plane.text(`${title} over time`, 0.01, low - 0.08 * (high - low));
}
