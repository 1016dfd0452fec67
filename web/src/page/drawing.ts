/** A plane on which the visitor chooses or draws a set of points. */

import { DRAWINGS } from "../core/drawings";
import { button, element, menu, row } from "./controls";
import { drawable } from "./pen";
import { COLOURS, INK, Plane } from "./plane";

export const RANGE: [number, number, number, number] = [-2.4, 2.4, -2.4, 2.4];
const LABEL = "the points to learn from; draw with a pointer, or move with the arrow keys and draw with the space bar";
const OWN = "your drawing"; // in the menu of data
const MOST = 400; // points; later ones replace the first

export class Drawing {
  readonly node: HTMLElement;
  points: Float64Array;
  private readonly plane = new Plane(LABEL, 230, 230, RANGE);

  /** @param changed is called when there are other points. */
  constructor(private readonly changed: () => void) {
    const names = Object.keys(DRAWINGS);
    this.points = DRAWINGS[names[0]]();
    let own: Float64Array = new Float64Array();
    const choice = menu("Data", [...names, OWN], (name) => this.replace(name === OWN ? own : DRAWINGS[name]()));
    const draw = (points: Float64Array) => {
      own = points;
      choice.choose(OWN);
      this.replace(points);
    };
    const clear = button("Clear and draw", () => draw(new Float64Array()));
    const add = (x: number, y: number) => draw(Float64Array.from([...this.points, x, y].slice(-2 * MOST)));
    drawable(this.plane, add, (x, y) => {
      this.show();
      this.plane.dots([x, y], COLOURS[1], 4);
    });
    this.node = element("div", { className: "drawing" }, this.plane.canvas, row(choice.node, clear));
    this.show();
  }

  private replace(points: Float64Array): void {
    this.points = points;
    this.show();
    this.changed();
  }

  private show(): void {
    this.plane.clear();
    this.plane.dots(this.points, INK);
    if (this.points.length === 0) this.plane.text("draw here", 0, 0, INK, "center");
  }
}
