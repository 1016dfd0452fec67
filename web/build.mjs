// Bundles the figures into out/web/figures.js and figures.css, or with the argument "tests" the tests.
import { build } from "esbuild";
import { readdirSync } from "node:fs";

const shared = { bundle: true, target: "es2022", logLevel: "warning" };
if (process.argv[2] === "tests") {
  const entryPoints = readdirSync("tests").map((name) => `tests/${name}`);
  await build({ ...shared, entryPoints, outdir: "../out/web/tests", outExtension: { ".js": ".mjs" }, platform: "node", format: "esm" });
} else {
  await build({ ...shared, entryPoints: { figures: "src/main.ts" }, outdir: "../out/web", minify: true, format: "iife" });
  await build({ ...shared, entryPoints: ["src/figures.css"], outdir: "../out/web", minify: true });
}
