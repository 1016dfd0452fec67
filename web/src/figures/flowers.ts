/** Flowers: the trained U-Net of the course, sampled in the page. */

import { evaluationsPerStep } from "../core/guidance";
import { blend, normal, normals, uniform } from "../core/random";
import { addsNoise, evaluations, SAMPLERS, type Options } from "../core/samplers";
import { button, checkbox, element, menu, numberField, row, slider, soon } from "../page/controls";
import { FOLDER, Network } from "../page/network";
import { showPath, type Station } from "../page/path";
import { Frame } from "../page/picture";

const NETWORKS: Record<string, string> = {
  "tuned for 1 to 4 steps": "flowers32_fewstep",
  "not tuned": "flowers32",
  "class-conditional": "flowers32_conditional",
};
const ANY = "any"; // without a label
const [MANY, PORTION] = [16, 4]; // flowers at once; of them in one call of the network
const MOST = { steps: 50, guidance: 8 };
const SEEDS = 1_000_000; // of flowers; the seeds of fresh noise are above these
const USUAL = { few: 2, many: 10 }; // steps, as long as the visitor has chosen none
const RELOAD = "To try again, load the page again.";

/** The page may say with which network and how many steps the figure starts: data-network and data-steps. */
export function flowers(root: HTMLElement): void {
  const { network: file, steps } = root.dataset;
  const first = Object.keys(NETWORKS).find((name) => NETWORKS[name] === file) ?? Object.keys(NETWORKS)[0];
  const status = element("p", { className: "numbers", role: "status" });
  root.append(status);
  if (location.protocol === "file:")
    return showStill(root, status, "this page was opened as a file, and the network needs a web server.");
  if (typeof WebAssembly === "undefined")
    return showStill(root, status, "this browser has no WebAssembly.");
  load(first, status).then(
    (network) => show(root, status, first, network, steps ? Number(steps) : undefined),
    (error: Error) => showStill(root, status, `${error.message}. ${RELOAD}`),
  );
}

/** Loads a network, and says how much of it has arrived. */
function load(name: string, status: HTMLElement): Promise<Network> {
  let [bytes, isLoading] = [0, true];
  status.textContent = "Loading the network ...";
  return Network.load(NETWORKS[name], (more) => {
    const before = Math.floor(bytes / 1e6);
    bytes += more;
    const now = Math.floor(bytes / 1e6);
    if (isLoading && now > before) status.textContent = `Loading the network: ${now} MB ...`;
  }).finally(() => (isLoading = false)); // one part can break off while others arrive
}

/** Shows a still picture instead of the figure, and why. */
function showStill(root: HTMLElement, status: HTMLElement, reason: string): void {
  const still = { src: new URL("flowers.png", FOLDER).href, alt: `${MANY} flowers that the course's network drew earlier` };
  root.replaceChildren(element("img", still), status);
  status.textContent = `The flowers cannot be computed here, because ${reason}`;
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
  let freshSeed = SEEDS;
  let hasDrawn = false;
  const flower = new Frame("the flower", "the flower", first.side);
  const frames = Array.from({ length: MANY }, () => new Frame("", "", first.side));
  const many = element("div", { className: "many" }, ...frames.map((frame) => frame.node));
  const path = element("div", { className: "path" });

  const settings = (): Settings => {
    const [network, sampler, stepCount] = [networks[chosen], SAMPLERS[samplerMenu.value], steps.value];
    const label = network.classNames.indexOf(colour.value); // -1 is none
    const denoise = label < 0 ? network.denoise : network.guided(label, guidance.value);
    const perStep = label < 0 ? 1 : evaluationsPerStep(guidance.value);
    const options = { eta: eta.value, spacing: spacing.value, fresh: normals(freshSeed) };
    return {
      network,
      sample: (noise, onStep) => sampler(denoise, network.schedule, noise, stepCount, { ...options, onStep }),
      cost: `steps: ${stepCount}; network evaluations (NFE): ${perStep * evaluations(sampler, stepCount)}`,
      subject: label < 0 ? "flower" : `${colour.value} flower, guidance ${guidance.value}`,
    };
  };
  const drawOne = async ({ network, sample, cost, subject }: Settings) => {
    const begin = performance.now();
    const noise = blend(seed.value, next(), mix.value, network.length);
    const stations: Station[] = [];
    const images = await sample(noise, ({ time }, noisy, { images: predicted }) => {
      stations.push({ time, noisy, predicted });
    });
    flower.show(network.picture(images));
    flower.describe(`the ${subject}`);
    showPath(path, network, stations);
    hasDrawn = true;
    status.textContent = `${(performance.now() - begin).toFixed(0)} ms for one flower; ${cost}`;
  };
  const drawMany = async ({ network, sample, cost, subject }: Settings) => {
    const change = latest;
    const noise = normal(uniform(seed.value), MANY * network.length);
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
    eta.lock(samplerMenu.value === "DDIM" ? "" : "Only DDIM has this setting.");
    spacing.lock(steps.value >= 3 ? "" : "One or two steps leave nothing to space: this needs three.");
    freshButton.disabled = !addsNoise(SAMPLERS[samplerMenu.value], steps.value, eta.value);
    freshButton.title = freshButton.disabled ? "Nothing would change: these settings add no fresh noise." : "";
    many.hidden = !grid.checked;
    guidance.node.hidden = colour.node.hidden || colour.value === ANY;
    try {
      await drawOne(settings());
      if (grid.checked) await drawMany(settings());
    } catch (error) {
      const reason = `the network does not run in this browser, perhaps for lack of memory. ${RELOAD}`;
      if (hasDrawn) status.textContent = `The new flower cannot be computed, because ${reason}`;
      else showStill(root, status, reason);
      console.warn(error);
    }
  });
  const draw = () => {
    latest++;
    work();
  };

  const choose = async (name: string) => {
    try {
      networks[name] ??= await load(name, status);
    } catch (error) {
      if (model.value === name) model.choose(chosen);
      status.textContent =
        `The network cannot be loaded, because ${(error as Error).message}. To try again, choose it again.`;
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
  const next = () => (seed.value + 1) % SEEDS;
  const start = () => {
    freshSeed = SEEDS; // so a seed always names the same flower
    mix.value = 0;
    draw();
  };
  const another = () => {
    seed.value = next();
    start();
  };
  const again = () => {
    freshSeed++;
    draw();
  };
  const seed = numberField("Flower (seed)", "The seed", [0, SEEDS - 1], 1, start);
  const model = menu("Network", Object.keys(NETWORKS), choose);
  model.choose(chosen);
  const colour = menu("Class (colour)", [ANY], draw);
  const guidance = slider("Guidance", [0, MOST.guidance, 0.5], 2, (value) => value.toFixed(1), draw);
  const samplerMenu = menu("Sampler", ["DDIM", ...Object.keys(SAMPLERS).filter((name) => name !== "DDIM")], draw);
  const steps = slider("Steps", [1, MOST.steps, 1], 1, (value) => `${value}`, () => {
    wantedSteps = steps.value;
    draw();
  });
  const spacing = slider("Spacing (above 1: shorter first steps)", [1, 3, 0.5], 1, (value) => value.toFixed(1), draw);
  const eta = slider("Fresh noise (η)", [0, 1, 0.05], 0, (value) => value.toFixed(2), draw);
  const mix = slider("Blend into the next flower", [0, 1, 0.01], 0, (value) => value.toFixed(2), draw);
  const freshButton = button("Same start, other fresh noise", again);
  const grid = checkbox(`${MANY} flowers`, draw);
  colour.node.hidden = true;
  limitSteps();
  root.replaceChildren(
    row(seed.node, button("Another flower", another), mix.node, grid.node),
    row(model.node, colour.node, guidance.node),
    row(samplerMenu.node, steps.node, spacing.node, eta.node, freshButton),
    element("div", { className: "frames" }, flower.node, path),
    status,
    many,
  );
  draw();
}
