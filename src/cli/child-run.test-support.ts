import { runChild } from "./child.ts";

// Runs the program that the arguments name, as `lock` and `elect` do.
const [program = "", ...args] = process.argv.slice(2);
const { code } = await runChild({ program, args, environment: {} }).exited;
process.exit(code);
