/** A trained network from an ONNX file of `diffusion-lab export`, computed by onnxruntime-web. */

import type * as Ort from "onnxruntime-web";

import { guided, type DenoiseLabelled } from "../core/guidance";
import type { Denoise } from "../core/samplers";
import { SCHEDULES, type Schedule } from "../core/schedules";
import { element } from "./controls";
import { download } from "./download";

declare const ort: typeof Ort;

/** The folder of this script, which also has onnxruntime-web, the networks and a still picture. */
export const FOLDER = new URL(".", (document.currentScript as HTMLScriptElement | null)?.src ?? document.baseURI);

interface Description {
  schedule: string;
  most_steps: number | null;
  mean: number[];
  variance: number[];
  class_names: string[];
  network_arguments: { image_size: number };
}

export class Network {
  private constructor(
    private readonly session: Ort.InferenceSession,
    private readonly about: Description,
  ) {}

  /**
   * Loads onnxruntime-web if this has not happened yet, and the network of that name.
   *
   * @param received is called with the number of bytes in each piece that arrives.
   */
  static async load(name: string, received: (bytes: number) => void = () => {}): Promise<Network> {
    const file = (ending: string) => download(new URL(`${name}.${ending}`, FOLDER), received);
    const [about, model] = await Promise.all([file("json"), file("onnx"), runtime(received)]);
    const description = JSON.parse(new TextDecoder().decode(about)) as Description;
    try {
      return new Network(await ort.InferenceSession.create(new Uint8Array(model)), description);
    } catch (error) {
      throw new Error("this browser could not start the network, perhaps for lack of memory", { cause: error });
    }
  }

  get side(): number {
    return this.about.network_arguments.image_size;
  }

  /** The number of numbers in an image. */
  get length(): number {
    return 3 * this.side ** 2;
  }

  get mostSteps(): number | null {
    return this.about.most_steps;
  }

  get schedule(): Schedule {
    return SCHEDULES[this.about.schedule.replace("_", " ")];
  }

  /** The names of the classes that a conditional network knows. Others have none. */
  get classNames(): string[] {
    return this.about.class_names;
  }

  /** Separates a batch of noisy images without labels. */
  denoise: Denoise = (noisyImages, rates) => this.denoiseLabelled(noisyImages, rates, [this.noLabel]);

  /** Returns a `denoise` for images of the class with that number. */
  guided(label: number, guidance: number): Denoise {
    return guided(this.denoiseLabelled, label, this.noLabel, guidance);
  }

  private get noLabel(): number {
    return this.classNames.length;
  }

  private denoiseLabelled: DenoiseLabelled = async (noisyImages, { noiseRate, signalRate }, labels) => {
    const batch = noisyImages.length / this.length;
    const rate = (value: number) =>
      new ort.Tensor("float32", new Float32Array(batch).fill(value), [batch, 1, 1, 1]);
    const inputs: Record<string, Ort.Tensor> = {
      noisy_images: new ort.Tensor("float32", Float32Array.from(noisyImages), [batch, this.side, this.side, 3]),
      noise_rates: rate(noiseRate),
      signal_rates: rate(signalRate),
    };
    if (this.classNames.length) {
      const each = Int32Array.from({ length: batch }, (_, i) => labels[Math.floor((i * labels.length) / batch)]);
      inputs.labels = new ort.Tensor("int32", each, [batch]);
    }
    const { pred_noises, pred_images } = await this.session.run(inputs);
    return {
      noises: Float64Array.from(pred_noises.data as Float32Array),
      images: Float64Array.from(pred_images.data as Float32Array),
    };
  };

  /** Returns images as they look: from -1 to 1, with the colours of the data. */
  picture(images: Float64Array): Float64Array {
    const { mean, variance } = this.about;
    return images.map((value, i) => 2 * (mean[i % 3] + value * Math.sqrt(variance[i % 3])) - 1);
  }
}

let loading: Promise<void> | undefined;

function runtime(received: (bytes: number) => void): Promise<void> {
  loading ??= (async () => {
    const file = (name: string) => download(new URL(`ort/${name}`, FOLDER), received);
    const [code, wasm] = await Promise.all([file("ort.wasm.min.js"), file("ort-wasm-simd-threaded.wasm")]);
    await run(code);
    ort.env.wasm.wasmPaths = new URL("ort/", FOLDER).href;
    ort.env.wasm.wasmBinary = wasm; // else its download could stall without an error
    ort.env.wasm.numThreads = 1; // more need headers that simple web servers do not send
  })();
  return loading;
}

/** Runs a script that defines global names. */
function run(code: ArrayBuffer): Promise<void> {
  const script = element("script", { src: URL.createObjectURL(new Blob([code], { type: "text/javascript" })) });
  document.head.append(script);
  return new Promise((resolve, reject) => {
    script.addEventListener("load", () => resolve());
    script.addEventListener("error", () => reject(new Error("this browser does not run the network's code")));
  });
}
