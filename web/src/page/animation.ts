/** Animated pictures can be stopped, and do not begin for visitors who asked for less motion. */

import { button, element } from "./controls";

/** Adds a button that stops the animation at its first frame, or plays it. */
export function stoppable(image: HTMLImageElement): void {
  const still = element("canvas", { width: image.naturalWidth, height: image.naturalHeight, role: "img" });
  still.getContext("2d")!.drawImage(image, 0, 0);
  still.setAttribute("aria-label", image.alt);
  const play = (plays: boolean) => {
    image.hidden = !plays;
    still.hidden = plays;
    toggle.textContent = plays ? "Stop the animation" : "Play the animation";
  };
  const toggle = button("", () => play(image.hidden));
  image.after(still, element("div", {}, toggle));
  play(!matchMedia("(prefers-reduced-motion: reduce)").matches);
}
