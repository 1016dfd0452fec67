/** A small network learns the visitor's drawing, in the page. */

import { VelocityNetwork } from "../core/network";
import { normal, uniform } from "../core/random";
import { button, element, row, slider, soon } from "../page/controls";
import { Drawing, RANGE } from "../page/drawing";
import { COLOURS, Plane } from "../page/plane";

const SECONDS = 9; // of training
const RATE = 4e-3; // the highest learning rate
const WARM_UP = 50; // steps
const SLICE = 100; // milliseconds of training between two moments for the page
const SAMPLES = 400;
const EVERY = 2500; // milliseconds of training between two pictures
const STEPS = 30; // of the sampler
const WHY_NOT_ZERO =
  "The loss cannot reach 0: many points pass through the same place in different directions, and the network can only learn the mean of these directions.";

export function training(root: HTMLElement): void {
  const noise = normal(uniform(1), 2 * SAMPLES);
  const plane = new Plane("samples of the network", 330, 330, RANGE);
  const status = element("p", { className: "numbers", role: "status" });
  const bar = element("progress", { max: SECONDS, value: 0 });
  bar.setAttribute("aria-label", "training");
  let stations: Float64Array[] = [noise];
  let latest = 0; // the number of the latest run; an older one stops

  const show = soon(() => {
    const station = Math.round((1 - time.value) * (stations.length - 1));
    plane.clear();
    plane.dots(drawing.points, "#8886", 1);
    plane.dots(stations[station], COLOURS[0]);
  });
  const train = async () => {
    const run = ++latest;
    if (drawing.points.length === 0) {
      status.textContent = "Draw something first, or choose data.";
      return;
    }
    const network = new VelocityNetwork(uniform(2));
    let [spent, steps, loss, shown] = [0, 0, 0, -Infinity];
    time.value = 0;
    while (spent < SECONDS * 1000 && run === latest) {
      const begin = performance.now();
      while (performance.now() - begin < SLICE) {
        const share = spent / (SECONDS * 1000);
        const rate = RATE * Math.min(1, (steps + 1) / WARM_UP) * Math.max(0.02, 1 - share);
        const current = network.train(drawing.points, rate);
        loss += (current - loss) / Math.min(++steps, 50);
      }
      spent += performance.now() - begin;
      if (spent - shown > EVERY || spent >= SECONDS * 1000) {
        shown = spent;
        stations = network.sample(noise, STEPS);
        time.lock("");
        show();
      }
      bar.value = spent / 1000;
      const done = spent >= SECONDS * 1000 ? "Done. Move the slider Time. " : "";
      status.textContent = `${done}Step ${steps}, loss ${loss.toFixed(2)}. ${WHY_NOT_ZERO}`;
      await new Promise((resolve) => setTimeout(resolve));
    }
  };
  const reset = (message: string) => {
    latest++;
    stations = [noise];
    bar.value = 0;
    time.value = 1;
    time.lock("Press Train first: so far, there is only noise.");
    status.textContent = message;
    show();
  };
  const drawing = new Drawing(() =>
    reset(drawing.points.length === 0 ? "Draw something, then press Train." : "New data: press Train."),
  );
  const time = slider("Time", [0, 1, 1 / STEPS], 1, (value) => value.toFixed(2), show);
  root.replaceChildren(
    element(
      "div",
      { className: "frames" },
      drawing.node,
      element("div", { className: "beside" }, row(button("Train", train), bar, time.node), plane.canvas, status),
    ),
  );
  reset("Not trained yet: press Train.");
}
