/** Drawing with a pointer or with the keyboard. */

/** Something to draw on, with the coordinates of its left, right, bottom and top edge. */
interface Sheet {
  readonly canvas: HTMLCanvasElement;
  readonly range: [number, number, number, number];
}

const MOVES: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
};
const KEY_STEP = 1 / 32; // of the sheet, for a move with an arrow key

/**
 * Calls `drawn` with each place that the visitor's pointer passes while it is pressed.
 *
 * With the keyboard, the arrow keys move a pen, and the space bar draws.
 *
 * @param moved is called with the place of the pen.
 */
export function drawable(
  { canvas, range: [left, right, bottom, top] }: Sheet,
  drawn: (x: number, y: number) => void,
  moved: (x: number, y: number) => void,
): void {
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  let pen = [0.5, 0.5]; // shares of the width and of the height
  const place = ([across, up]: number[]): [number, number] => [left + across * (right - left), bottom + up * (top - bottom)];
  canvas.addEventListener("keydown", (event) => {
    const move = MOVES[event.key] ?? [0, 0];
    if (!(event.key in MOVES) && event.key !== " ") return;
    event.preventDefault();
    pen = pen.map((share, axis) => Math.min(Math.max(share + KEY_STEP * move[axis], 0), 1));
    if (event.key === " ") drawn(...place(pen));
    moved(...place(pen));
  });
  canvas.style.touchAction = "none";
  canvas.style.cursor = "crosshair";
  const follow = ({ clientX, clientY }: PointerEvent) => {
    const box = canvas.getBoundingClientRect();
    drawn(...place([(clientX - box.left) / box.width, (box.bottom - clientY) / box.height]));
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    follow(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) follow(event);
  });
}
