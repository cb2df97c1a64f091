import { type Command, Option } from "commander";
import { environmentName, type OptionSpec, serveOptions } from "../config/options.ts";
import { loadServeConfig } from "../config/serve-config.ts";
import { readTokenFile } from "../discovery/token.ts";
import type { Io } from "./io.ts";
import { startLogging, stopLogging } from "./logging.ts";

/** Set by a process that starts members as its own: they stop when it is gone and their stdin closes. */
export const stopWithStdinVariable = "CORACLE_STOP_WITH_STDIN";

const groups = ["Member", "Start", "Addresses", "Timing", "Storage", "Logs"] as const;

export function addServeCommand(program: Command, io: Io, exit: (code: number) => void): void {
  const command = program
    .command("serve")
    .description("Run a member of a cluster.")
    .option("--config <file>", "JSON file with options, keys as the flags without dashes; CORACLE_CONFIG");
  const specs = Object.values<OptionSpec>(serveOptions);
  for (const group of groups) {
    for (const spec of specs.filter((candidate) => candidate.group === group))
      command.addOption(optionOf(spec));
  }
  command.addHelpText(
    "after",
    `
Each option is also an environment variable, as in ${environmentName("data-dir")}, and a key of --config FILE;
flags win over the environment, the environment over the file.

Examples:
  coracle serve
  coracle serve --name n2 --join 10.0.0.1 --token-file token --listen-peer 10.0.0.2:2380 --insecure
  coracle serve --name n1 --initial-cluster n1=127.0.0.1:2380,n2=127.0.0.1:2390,n3=127.0.0.1:2400`,
  );
  command.action(async (parsed: Record<string, unknown>) => {
    // Commander names its values in camel case; the configuration knows options by their own names.
    const flags: Record<string, unknown> = { config: parsed.config };
    for (const { name } of specs) flags[name] = parsed[camelCase(name)];
    const config = loadServeConfig({ flags, environment: io.environment, readTokenFile });
    startLogging({ levels: config.logLevel, format: config.logFormat });
    if (io.environment[stopWithStdinVariable] === "1") stopWhenStdinCloses();
    try {
      const { runServe } = await import("./serve.ts");
      exit(await runServe(config));
    } finally {
      stopLogging();
    }
  });
}

function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function optionOf(spec: OptionSpec): Option {
  const byDefault =
    spec.default === undefined || spec.default === false ? spec.defaultText : String(spec.default);
  const description =
    byDefault === undefined ? spec.description : `${spec.description} (default: ${byDefault})`;
  const flag = spec.argument === undefined ? `--${spec.name}` : `--${spec.name} ${spec.argument}`;
  const option = new Option(flag, description).helpGroup(`${spec.group}:`);
  if (spec.list)
    option.argParser((value: string, earlier: string[] | undefined) => [...(earlier ?? []), value]);
  return option;
}

function stopWhenStdinCloses(): void {
  process.stdin.on("end", () => process.kill(process.pid, "SIGTERM"));
  process.stdin.on("error", () => process.kill(process.pid, "SIGTERM"));
  process.stdin.resume();
}
