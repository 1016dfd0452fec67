/** Flowers: the trained U-Net of the course, sampled in the page. */

import { normal, uniform } from "../core/random";
import { SAMPLERS } from "../core/samplers";
import { button, element, menu, row, slider, soon } from "../page/controls";
import { Network } from "../page/network";
import { Frame } from "../page/picture";

const FEW = "tuned for 1 to 4 steps";
const NETWORKS: Record<string, string> = { [FEW]: "flowers32_fewstep", "not tuned": "flowers32" };
const MANY = 16; // flowers at once
const MOST = { few: 4, many: 40 }; // steps
const SHOWN = 8; // steps of the path

export function flowers(root: HTMLElement): void {
  const still = [...root.childNodes];
  const status = element("p", { className: "numbers", role: "status" }, "Loading the network ...");
  root.append(status);
  Network.load(NETWORKS[FEW]).then(
    (network) => show(root, status, network),
    (error: Error) => {
      // the page's own picture stays
      root.replaceChildren(...still, status);
      status.textContent =
        `The flowers cannot be computed here (${error.message}). They need a web server, not a file, ` +
        "and a browser with WebAssembly. Load the page again if the download broke off.";
    },
  );
}

function show(root: HTMLElement, status: HTMLElement, first: Network): void {
  let network = first;
  let [seed, otherSeed, freshSeed] = [1, 2, 3];
  const [flower, many] = [new Frame("the flower", "the flower", first.side), element("div", { className: "many" })];
  const path = element("div", { className: "path" });

  const draw = soon(async () => {
    many.replaceChildren();
    eta.node.hidden = sampler.value !== "DDIM";
    const begin = performance.now();
    const noise = between(seed, otherSeed, mix.value, network.length);
    const stations: { time: number; noisy: Float64Array; predicted: Float64Array }[] = [];
    const images = await SAMPLERS[sampler.value](network.denoise, network.schedule, noise, steps.value, {
      eta: eta.value,
      random: uniform(freshSeed),
      onStep: ({ time }, noisy, { images: predicted }) => void stations.push({ time, noisy, predicted }),
    });
    flower.show(network.picture(images));
    const every = Math.ceil(stations.length / SHOWN);
    path.replaceChildren(
      ...stations
        .filter((_, step) => step % every === 0)
        .map(({ time, noisy, predicted }) => {
          const frames = ["noisy", "predicted"].map(
            (what) => new Frame(`${what}, t\u00a0=\u00a0${time.toFixed(2)}`, `${what} image at time ${time.toFixed(2)}`, network.side),
          );
          frames[0].show(network.picture(noisy));
          frames[1].show(network.picture(predicted));
          return element("div", {}, ...frames.map(({ node }) => node));
        }),
    );
    status.textContent = `${(performance.now() - begin).toFixed(0)} ms for one flower, steps: ${steps.value}`;
  });
  const drawMany = async () => {
    status.textContent = `Drawing ${MANY} flowers ...`;
    const noise = normal(uniform(seed), MANY * network.length);
    const images = await SAMPLERS[sampler.value](network.denoise, network.schedule, noise, steps.value, {
      eta: eta.value,
    });
    const pictures = network.picture(images);
    many.replaceChildren(
      ...Array.from({ length: MANY }, (_, i) => {
        const frame = new Frame("", `flower ${i + 1} of ${MANY}`, network.side);
        frame.show(pictures.subarray(i * network.length, (i + 1) * network.length));
        return frame.node;
      }),
    );
    status.textContent = `${MANY} flowers, steps: ${steps.value}`;
  };
  const choose = async (name: string) => {
    status.textContent = "Loading the network ...";
    network = await Network.load(NETWORKS[name]);
    const most = network.mostSteps ?? MOST.many;
    steps.limit(most);
    steps.value = network.mostSteps ? 2 : 10;
    draw();
  };
  const another = () => {
    [seed, otherSeed] = [otherSeed, otherSeed + 1];
    mix.value = 0;
    draw();
  };
  const again = () => {
    freshSeed++;
    draw();
  };
  const model = menu("Network", Object.keys(NETWORKS), choose);
  const sampler = menu("Sampler", ["DDIM", ...Object.keys(SAMPLERS).filter((name) => name !== "DDIM")], draw);
  const steps = slider("Steps", [1, MOST.few, 1], 2, (value) => `${value}`, draw);
  const eta = slider("Fresh noise (η)", [0, 1, 0.05], 0, (value) => value.toFixed(2), draw);
  const mix = slider("Blend into the next flower", [0, 1, 0.01], 0, (value) => value.toFixed(2), draw);
  root.replaceChildren(
    row(button("Another flower", another), mix.node, button(`${MANY} flowers`, drawMany)),
    row(model.node, sampler.node),
    row(steps.node, eta.node, button("Same start, other fresh noise", again)),
    element("div", { className: "frames" }, flower.node, path),
    status,
    many,
  );
  draw();
}

/** Returns noise on the way from one seed's to another's (spherical interpolation, Shoemake 1985). */
function between(seed: number, otherSeed: number, share: number, length: number): Float64Array {
  const [one, other] = [seed, otherSeed].map((each) => normal(uniform(each), length));
  const dot = one.reduce((total, value, i) => total + value * other[i], 0);
  const angle = Math.acos(dot / (Math.hypot(...one) * Math.hypot(...other)));
  const weights = [Math.sin((1 - share) * angle), Math.sin(share * angle)];
  return one.map((value, i) => (weights[0] * value + weights[1] * other[i]) / Math.sin(angle));
}
