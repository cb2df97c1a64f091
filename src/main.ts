import { processIo } from "./cli/io.ts";
import { runProgram } from "./cli/program.ts";

// Not awaited here: while a module waits, Bun prints an error that nobody caught and goes on, where a bug
// must end the process. What a command started may still hold timers or sockets open: its end is the
// end of the process.
void runProgram(process.argv.slice(2), processIo()).then((exitCode) => process.exit(exitCode));
