/** Labelled controls. They are ordinary form elements, so a keyboard and a screen reader can use them. */

/** Returns a new element with properties and children. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  properties: Partial<HTMLElementTagNameMap[Name]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export interface Slider {
  readonly node: HTMLElement;
  value: number;
  /** Changes the highest value. */
  limit(high: number): void;
  /** Stops the visitor from moving the slider, for a reason that a pointer on it shows; "" allows it again. */
  lock(reason: string): void;
}

/**
 * Returns a slider with its label and its value in numbers.
 *
 * @param show formats the value.
 * @param changed is called when the visitor moves the slider.
 */
export function slider(
  label: string,
  [low, high, step]: [number, number, number],
  value: number,
  show: (value: number) => string,
  changed: () => void,
): Slider {
  const input = element("input", { type: "range", min: `${low}`, max: `${high}`, step: `${step}` });
  const output = element("output");
  const refresh = () => {
    output.value = show(input.valueAsNumber);
    input.setAttribute("aria-valuetext", output.value);
  };
  input.valueAsNumber = value;
  input.addEventListener("input", () => {
    refresh();
    changed();
  });
  refresh();
  const node = element("label", { className: "control" }, `${label} `, input, output);
  return {
    node,
    get value() {
      return input.valueAsNumber;
    },
    set value(next) {
      input.valueAsNumber = next;
      refresh();
    },
    limit(next) {
      input.max = `${next}`;
      refresh();
    },
    lock(reason) {
      node.title = reason;
      input.disabled = reason !== "";
    },
  };
}

/**
 * Returns a field for a whole number from `low` to `high`.
 *
 * If the visitor types anything else, the field shows its last value again, and a message.
 *
 * @param subject of the message, such as "The seed".
 */
export function numberField(
  label: string,
  subject: string,
  [low, high]: [number, number],
  value: number,
  changed: () => void,
): { node: HTMLElement; value: number } {
  const input = element("input", { type: "number", min: `${low}`, max: `${high}`, required: true });
  const message = element("span", { role: "status" });
  let last = value;
  const write = (next: number) => {
    last = next;
    input.valueAsNumber = next;
    message.textContent = "";
  };
  write(value);
  input.addEventListener("change", () => {
    if (input.validity.valid) {
      write(input.valueAsNumber);
      changed();
    } else {
      write(last);
      message.textContent = `${subject} must be a whole number from ${low} to ${high}, so it is ${last} again.`;
    }
  });
  return {
    node: element("span", {}, element("label", { className: "control" }, `${label} `, input), " ", message),
    get value() {
      return last;
    },
    set value(next) {
      write(next);
    },
  };
}

export interface Menu {
  readonly node: HTMLElement;
  readonly value: string;
  /** Shows this option as chosen. */
  choose(option: string): void;
  /** Replaces the options, and chooses the first. */
  offer(options: string[]): void;
}

/** Returns a menu with its label; `changed` is called with the option that the visitor chooses. */
export function menu(
  label: string,
  options: string[],
  changed: (option: string) => void,
): Menu {
  const select = element("select");
  const offer = (options: string[]) =>
    select.replaceChildren(...options.map((option) => element("option", {}, option)));
  offer(options);
  select.addEventListener("change", () => changed(select.value));
  return {
    node: element("label", { className: "control" }, `${label} `, select),
    get value() {
      return select.value;
    },
    choose(option) {
      select.value = option;
    },
    offer,
  };
}

export function button(label: string, pressed: () => void): HTMLButtonElement {
  const made = element("button", { type: "button" }, label);
  made.addEventListener("click", pressed);
  return made;
}

export function checkbox(label: string, changed: () => void): { node: HTMLElement; readonly checked: boolean } {
  const input = element("input", { type: "checkbox" });
  input.addEventListener("change", changed);
  return {
    node: element("label", { className: "control" }, input, ` ${label}`),
    get checked() {
      return input.checked;
    },
  };
}

/** Returns a row of controls. */
export function row(...nodes: (Node | string)[]): HTMLElement {
  return element("div", { className: "controls" }, ...nodes);
}

/**
 * Returns a function that runs `work` soon, and once only, however often it is called before.
 *
 * A slider calls it many times a second. If the work takes long, it runs again afterwards for the
 * latest position, and skips those in between.
 */
export function soon(work: () => void | Promise<void>): () => void {
  let [running, wanted] = [false, false];
  const run = async () => {
    if (running) return;
    running = true;
    try {
      while (wanted) {
        wanted = false;
        await new Promise(requestAnimationFrame);
        await work();
      }
    } finally {
      running = false;
    }
  };
  return () => {
    wanted = true;
    void run();
  };
}
