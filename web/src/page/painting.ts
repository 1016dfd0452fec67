/** A small picture that the visitor paints, or chooses from a file. */

import { button, element, menu, row } from "./controls";
import { drawable } from "./pen";
import { blank, dot, flower, Frame, pictureChooser } from "./picture";

const PAINTS: Record<string, number[]> = {
  red: [0.8, -0.7, -0.7],
  yellow: [0.9, 0.7, -0.6],
  green: [-0.6, 0.3, -0.6],
  blue: [-0.6, -0.2, 0.8],
  black: [-1, -1, -1],
  white: [1, 1, 1],
};
const BRUSH = 4; // pixels of the picture
const LABEL = "the picture without noise; paint with a pointer, or move with the arrow keys and paint with the space bar";

export class Painting {
  readonly node: HTMLElement;
  picture = flower();
  private readonly frame = new Frame("the picture: paint on it", LABEL);

  /** @param changed is called when the picture has changed. */
  constructor(private readonly changed: () => void) {
    const paint = menu("Paint", Object.keys(PAINTS), () => {});
    drawable(
      this.frame,
      (x, y) => {
        dot(this.picture, [x, y], BRUSH, PAINTS[paint.value]);
        this.replace(this.picture);
      },
      (x, y) => {
        const marked = this.picture.slice();
        dot(marked, [x, y], BRUSH / 2, PAINTS.black);
        dot(marked, [x, y], BRUSH / 4, PAINTS.white);
        this.frame.show(marked);
      },
    );
    const sheet = button("White sheet", () => this.replace(blank(PAINTS.white)));
    const chooser = pictureChooser((chosen) => this.replace(chosen));
    this.node = element("div", { className: "painting" }, this.frame.node, row(paint.node, sheet), chooser);
    this.frame.show(this.picture);
  }

  private replace(picture: Float64Array): void {
    this.picture = picture;
    this.frame.show(picture);
    this.changed();
  }
}
