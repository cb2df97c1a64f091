import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { CoracleError, messageOf } from "../base/errors.ts";
import { writeDurably } from "./durable-file.ts";

/** A token shorter than this could be guessed. */
const lengthMin = 16;

/** A new join token: 256 random bits as base64url, safe in a shell and a URL. */
export function makeToken(): string {
  return randomBytes(32).toString("base64url");
}

/**
 * Writes a token to a new file that only its owner may read.
 *
 * @throws CoracleError `config_invalid` when the file exists or cannot be written.
 */
export function writeTokenFile(path: string, token: string): void {
  try {
    if (existsSync(path)) throw new Error("it exists already");
    writeDurably(path, `${token}\n`);
  } catch (error) {
    throw new CoracleError(
      "config_invalid",
      `The token file ${path} cannot be written: ${messageOf(error)}.`,
    );
  }
}

/**
 * Reads a token that only the owner of its file may read.
 *
 * @throws CoracleError `config_invalid` when others could read it, or when it holds no token.
 */
export function readTokenFile(path: string): string {
  let text: string;
  let mode: number;
  try {
    mode = statSync(path).mode;
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new CoracleError("config_invalid", `The token file ${path} cannot be read: ${messageOf(error)}.`);
  }
  if ((mode & 0o077) !== 0) {
    const octal = (mode & 0o777).toString(8).padStart(4, "0");
    throw new CoracleError(
      "config_invalid",
      `The token file ${path} has mode ${octal}, so others may read the token; run: chmod 600 ${path}`,
    );
  }
  const token = text.trim();
  if (token.length < lengthMin || /\s/.test(token)) {
    throw new CoracleError(
      "config_invalid",
      `The token file ${path} does not hold one word of at least ${lengthMin} characters.`,
    );
  }
  return token;
}

/** The command that another machine runs to join, ready to copy. The token itself is not in it. */
export function joinCommand(options: { readonly peerAddress: string; readonly tokenFile: string }): string {
  return `coracle serve --join ${options.peerAddress} --token-file ${options.tokenFile}`;
}
