export { median } from "./statistics.ts";
