import { processIo } from "./cli/io.ts";
import { runProgram } from "./cli/program.ts";

// What a command started may still hold timers or sockets open: its end is the end of the process.
process.exit(await runProgram(process.argv.slice(2), processIo()));
