/** A canvas with coordinates, sharp on every screen. */

import { element } from "./controls";

/** Okabe and Ito's colours, which differ for colour-blind readers too. */
export const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/** The colour of text and data, which can be read on a light and on a dark page. */
export const INK = "#747474";

export class Plane {
  readonly canvas: HTMLCanvasElement;
  private readonly context: CanvasRenderingContext2D;

  /**
   * @param label what the picture shows, for people who cannot see it.
   * @param range the coordinates at the left, right, bottom and top edge.
   */
  constructor(
    label: string,
    readonly width: number,
    readonly height: number,
    private readonly range: [number, number, number, number],
  ) {
    const scale = window.devicePixelRatio || 1;
    this.canvas = element("canvas", { width: width * scale, height: height * scale });
    this.canvas.style.maxWidth = `${width}px`;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    this.context = this.canvas.getContext("2d")!;
    this.context.scale(scale, scale);
  }

  clear(): void {
    this.context.clearRect(0, 0, this.width, this.height);
  }

  /** Draws points, x and y one after the other. */
  dots(points: ArrayLike<number>, colour: string, radius = 1.5): void {
    this.context.fillStyle = colour;
    for (let i = 0; i < points.length; i += 2) {
      const [x, y] = this.place(points[i], points[i + 1]);
      this.context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    }
  }

  line(points: ArrayLike<number>, colour: string, width = 2, dashes: number[] = []): void {
    const { context } = this;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.setLineDash(dashes);
    context.beginPath();
    for (let i = 0; i < points.length; i += 2) context.lineTo(...this.place(points[i], points[i + 1]));
    context.stroke();
  }

  text(words: string, x: number, y: number, colour = INK, align: CanvasTextAlign = "left"): void {
    this.context.font = "13px system-ui, sans-serif";
    this.context.fillStyle = colour;
    this.context.textAlign = align;
    this.context.fillText(words, ...this.place(x, y));
  }

  /** Returns the coordinates of a pointer. */
  at(event: PointerEvent): [number, number] {
    const box = this.canvas.getBoundingClientRect();
    const [left, right, bottom, top] = this.range;
    return [
      left + ((event.clientX - box.left) / box.width) * (right - left),
      top - ((event.clientY - box.top) / box.height) * (top - bottom),
    ];
  }

  /** Returns the nearest place that is not outside. */
  within(x: number, y: number): [number, number] {
    const [left, right, bottom, top] = this.range;
    return [Math.min(Math.max(x, left), right), Math.min(Math.max(y, bottom), top)];
  }

  private place(x: number, y: number): [number, number] {
    const [left, right, bottom, top] = this.range;
    return [
      ((x - left) / (right - left)) * this.width,
      ((top - y) / (top - bottom)) * this.height,
    ];
  }
}

const MOVES: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
};
const KEY_STEP = 0.15; // of a move with an arrow key

/**
 * Calls `drawn` with each place that the visitor's pointer passes while it is pressed.
 *
 * With the keyboard, the arrow keys move a pen, and the space bar draws.
 *
 * @param moved is called with the place of the pen.
 */
export function drawable(
  plane: Plane,
  drawn: (x: number, y: number) => void,
  moved: (x: number, y: number) => void,
): void {
  const { canvas } = plane;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  let pen: [number, number] = [0, 0];
  canvas.addEventListener("keydown", (event) => {
    const [right, up] = MOVES[event.key] ?? [0, 0];
    if (!(event.key in MOVES) && event.key !== " ") return;
    event.preventDefault();
    pen = plane.within(pen[0] + KEY_STEP * right, pen[1] + KEY_STEP * up);
    if (event.key === " ") drawn(...pen);
    moved(...pen);
  });
  canvas.style.touchAction = "none";
  canvas.style.cursor = "crosshair";
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    drawn(...plane.at(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) drawn(...plane.at(event));
  });
}
