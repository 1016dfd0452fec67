/** The pictures on the way from noise to an image. */

import { element } from "./controls";
import type { Network } from "./network";
import { Frame } from "./picture";

const SHOWN = { most: 7, width: 72 }; // steps; pixels of the page that one needs

/** What a sampler knows at one step. */
export interface Station {
  time: number;
  noisy: Float64Array;
  predicted: Float64Array;
}

/** Shows the noisy and the predicted images of as many steps as fit into one row. */
export function showPath(path: HTMLElement, network: Network, stations: Station[]): void {
  const fitting = Math.min(SHOWN.most, Math.max(2, Math.floor(path.clientWidth / SHOWN.width)));
  const count = Math.min(stations.length, fitting);
  const pairs = Array.from({ length: count }, (_, i) => {
    const { time, ...images } = stations[Math.round((i * (stations.length - 1)) / Math.max(1, count - 1))];
    const frames = (["noisy", "predicted"] as const).map((what) => {
      const caption = `${what}, t\u00a0=\u00a0${time.toFixed(2)}`; // without a line break inside
      const frame = new Frame(caption, `${what} image at time ${time.toFixed(2)}`, network.side);
      frame.show(network.picture(images[what]));
      return frame.node;
    });
    return element("div", {}, ...frames);
  });
  const steps = count < stations.length ? `${count} of the ${stations.length} steps are shown` : "";
  path.replaceChildren(element("div", {}, ...pairs), element("p", { className: "caption" }, steps));
}
