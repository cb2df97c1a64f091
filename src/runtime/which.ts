/** Whether this process runs on Bun; otherwise it is Deno. Only `runtime/` asks. */
export const onBun: boolean = typeof (globalThis as { Bun?: unknown }).Bun !== "undefined";
