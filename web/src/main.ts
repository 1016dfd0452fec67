/** Starts the live figures of a page: <div data-figure="forward"> and so on. */

import { flowers } from "./figures/flowers";
import { forward } from "./figures/forward";
import { samplers } from "./figures/samplers";
import { schedules } from "./figures/schedules";
import { training } from "./figures/training";
import { DRAWINGS } from "./core/drawings";
import { mixtureDenoiser } from "./core/mixture";
import { SAMPLERS } from "./core/samplers";
import { SCHEDULES } from "./core/schedules";
import { stoppable } from "./page/animation";
import { Network } from "./page/network";
import { withoutMenus } from "./page/search";

declare const Search: Parameters<typeof withoutMenus>[0] | undefined; // Sphinx's, on the page of search results

const FIGURES: Record<string, (root: HTMLElement) => void> = { flowers, forward, samplers, schedules, training };

// for the browser's console, the test that compares the samplers with Python's, and benchmarks/site.py
Object.assign(window, { diffusionLab: { DRAWINGS, Network, mixtureDenoiser, SAMPLERS, SCHEDULES } });

if (typeof Search !== "undefined") withoutMenus(Search);
for (const root of document.querySelectorAll<HTMLElement>("[data-figure]"))
  FIGURES[root.dataset.figure!](root);
for (const image of document.querySelectorAll<HTMLImageElement>('img[src^="data:image/webp"]'))
  image.decode().then(() => stoppable(image));
