/** Flowers: the trained U-Net of the course, sampled in the page. */

import { evaluationsPerStep } from "../core/guidance";
import { normal, uniform } from "../core/random";
import { addsNoise, evaluations, SAMPLERS, type Options } from "../core/samplers";
import { button, checkbox, element, menu, row, slider, soon } from "../page/controls";
import { FOLDER, Network } from "../page/network";
import { Frame } from "../page/picture";

const NETWORKS: Record<string, string> = {
  "tuned for 1 to 4 steps": "flowers32_fewstep",
  "not tuned": "flowers32",
  "class-conditional": "flowers32_conditional",
};
const ANY = "any"; // without a label
const [MANY, PORTION] = [16, 4]; // flowers at once; of them in one call of the network
const MOST = { steps: 50, guidance: 8 };
const USUAL = { few: 2, many: 10 }; // steps, as long as the visitor has chosen none
const SHOWN = { most: 7, width: 72 }; // steps of the path; pixels of the page that one needs

/** The page may say with which network and how many steps the figure starts: data-network and data-steps. */
export function flowers(root: HTMLElement): void {
  const { network: file, steps } = root.dataset;
  const first = Object.keys(NETWORKS).find((name) => NETWORKS[name] === file) ?? Object.keys(NETWORKS)[0];
  const status = element("p", { className: "numbers", role: "status" }, "Loading the network ...");
  root.append(status);
  Network.load(NETWORKS[first]).then(
    (network) => show(root, status, first, network, steps ? Number(steps) : undefined),
    (error: Error) => {
      const still = { src: new URL("flowers.png", FOLDER).href, alt: `${MANY} flowers that the course's network drew earlier` };
      root.replaceChildren(element("img", still), status);
      status.textContent =
        "The flowers cannot be computed here. They need a web server, not a file, and a browser with " +
        `WebAssembly. If the download broke off, load the page again. (The error is: ${error.message})`;
    },
  );
}

/** What the controls say at one moment. */
interface Settings {
  network: Network;
  sample(noise: Float64Array, onStep?: Options["onStep"]): Promise<Float64Array>;
  cost: string;
  subject: string; // of the picture
}

function show(root: HTMLElement, status: HTMLElement, chosen: string, first: Network, wantedSteps?: number): void {
  const networks: Record<string, Network> = { [chosen]: first };
  let latest = 0; // the number of the latest change; drawing for an older one stops
  let [seed, otherSeed, freshSeed] = [1, 2, 3];
  const flower = new Frame("the flower", "the flower", first.side);
  const frames = Array.from({ length: MANY }, () => new Frame("", "", first.side));
  const many = element("div", { className: "many" }, ...frames.map((frame) => frame.node));
  const path = element("div", { className: "path" });

  const settings = (): Settings => {
    const [network, sampler, stepCount] = [networks[chosen], SAMPLERS[samplerMenu.value], steps.value];
    const label = network.classNames.indexOf(colour.value); // -1 is none
    const denoise = label < 0 ? network.denoise : network.guided(label, guidance.value);
    const perStep = label < 0 ? 1 : evaluationsPerStep(guidance.value);
    const options = { eta: eta.value, spacing: spacing.value, random: uniform(freshSeed) };
    return {
      network,
      sample: (noise, onStep) => sampler(denoise, network.schedule, noise, stepCount, { ...options, onStep }),
      cost: `steps: ${stepCount}; network evaluations (NFE): ${perStep * evaluations(sampler, stepCount)}`,
      subject: label < 0 ? "flower" : `${colour.value} flower, guidance ${guidance.value}`,
    };
  };
  const drawOne = async ({ network, sample, cost, subject }: Settings) => {
    const begin = performance.now();
    const noise = between(seed, otherSeed, mix.value, network.length);
    const stations: Station[] = [];
    const images = await sample(noise, ({ time }, noisy, { images: predicted }) => {
      stations.push({ time, noisy, predicted });
    });
    flower.show(network.picture(images));
    flower.describe(`the ${subject}`);
    showPath(path, network, stations);
    status.textContent = `${(performance.now() - begin).toFixed(0)} ms for one flower; ${cost}`;
  };
  const drawMany = async ({ network, sample, cost, subject }: Settings) => {
    const change = latest;
    const noise = normal(uniform(seed), MANY * network.length);
    status.textContent = `Drawing ${MANY} flowers ...`;
    for (let begin = 0; begin < MANY && change === latest; begin += PORTION) {
      const images = await sample(noise.subarray(begin * network.length, (begin + PORTION) * network.length));
      const pictures = network.picture(images);
      for (let i = 0; i < PORTION; i++) {
        const frame = frames[begin + i];
        frame.show(pictures.subarray(i * network.length, (i + 1) * network.length));
        frame.describe(`${subject}, ${begin + i + 1} of ${MANY}`);
      }
      await new Promise(requestAnimationFrame);
    }
    status.textContent = `${MANY} flowers; for each, ${cost}`;
  };
  const work = soon(async () => {
    eta.node.hidden = samplerMenu.value !== "DDIM";
    spacing.node.hidden = steps.value < 3; // else there are only the first and the last step
    freshButton.disabled = !addsNoise(SAMPLERS[samplerMenu.value], steps.value, eta.value);
    many.hidden = !grid.checked;
    guidance.node.hidden = colour.node.hidden || colour.value === ANY;
    try {
      await drawOne(settings());
      if (grid.checked) await drawMany(settings());
    } catch (error) {
      status.textContent = `This browser could not compute the flower. (The error is: ${(error as Error).message})`;
    }
  });
  const draw = () => {
    latest++;
    work();
  };

  const choose = async (name: string) => {
    status.textContent = "Loading the network ...";
    try {
      networks[name] ??= await Network.load(NETWORKS[name]);
    } catch (error) {
      if (model.value === name) model.choose(chosen);
      status.textContent =
        `The network cannot be loaded. To try again, choose it again. (The error is: ${(error as Error).message})`;
      return;
    }
    if (model.value !== name) return; // another has been chosen meanwhile
    chosen = name;
    const { classNames } = networks[name];
    limitSteps();
    colour.offer([...classNames, ANY]);
    colour.node.hidden = classNames.length === 0;
    draw();
  };

  const limitSteps = () => {
    const { mostSteps } = networks[chosen];
    steps.limit(mostSteps ?? MOST.steps);
    steps.value = wantedSteps ?? (mostSteps ? USUAL.few : USUAL.many); // a slider keeps to its limit
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
  model.choose(chosen);
  const colour = menu("Class (colour)", [ANY], draw);
  const guidance = slider("Guidance", [0, MOST.guidance, 0.5], 2, (value) => value.toFixed(1), draw);
  const samplerMenu = menu("Sampler", ["DDIM", ...Object.keys(SAMPLERS).filter((name) => name !== "DDIM")], draw);
  const steps = slider("Steps", [1, MOST.steps, 1], 1, (value) => `${value}`, () => {
    wantedSteps = steps.value;
    draw();
  });
  const spacing = slider("Spacing (2: shorter at the start)", [1, 3, 0.5], 1, (value) => value.toFixed(1), draw);
  const eta = slider("Fresh noise (η)", [0, 1, 0.05], 0, (value) => value.toFixed(2), draw);
  const mix = slider("Blend into the next flower", [0, 1, 0.01], 0, (value) => value.toFixed(2), draw);
  const freshButton = button("Same start, other fresh noise", again);
  const grid = checkbox(`${MANY} flowers`, draw);
  colour.node.hidden = true;
  limitSteps();
  root.replaceChildren(
    row(button("Another flower", another), mix.node, grid.node),
    row(model.node, colour.node, guidance.node),
    row(samplerMenu.node, steps.node, spacing.node, eta.node, freshButton),
    element("div", { className: "frames" }, flower.node, path),
    status,
    many,
  );
  draw();
}

/** What a sampler knows at one step. */
interface Station {
  time: number;
  noisy: Float64Array;
  predicted: Float64Array;
}

/** Shows the noisy and the predicted images of as many steps as fit into one row. */
function showPath(path: HTMLElement, network: Network, stations: Station[]): void {
  const fitting = Math.min(SHOWN.most, Math.max(2, Math.floor(path.clientWidth / SHOWN.width)));
  const count = Math.min(stations.length, fitting);
  const pairs = Array.from({ length: count }, (_, i) => {
    const { time, ...images } = stations[Math.round((i * (stations.length - 1)) / Math.max(1, count - 1))];
    const frames = (["noisy", "predicted"] as const).map((what) => {
      const caption = `${what}, t = ${time.toFixed(2)}`;
      const frame = new Frame(caption, `${what} image at time ${time.toFixed(2)}`, network.side);
      frame.show(network.picture(images[what]));
      return frame.node;
    });
    return element("div", {}, ...frames);
  });
  const steps = count < stations.length ? `${count} of ${stations.length} steps` : "";
  path.replaceChildren(element("div", {}, ...pairs), element("p", { className: "caption" }, steps));
}

/** Returns noise on the way from one seed's to another's (spherical interpolation, Shoemake 1985). */
function between(seed: number, otherSeed: number, share: number, length: number): Float64Array {
  const [one, other] = [seed, otherSeed].map((each) => normal(uniform(each), length));
  const dot = one.reduce((total, value, i) => total + value * other[i], 0);
  const angle = Math.acos(dot / (Math.hypot(...one) * Math.hypot(...other)));
  const weights = [Math.sin((1 - share) * angle), Math.sin(share * angle)];
  return one.map((value, i) => (weights[0] * value + weights[1] * other[i]) / Math.sin(angle));
}
